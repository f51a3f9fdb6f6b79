"""Code that nobody has read attacks its sandbox: every attempt is stopped and fails its step, never the host."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcabench.sandbox.box import Sandbox
from rcabench.sandbox.limits import Limits
from rcabench.sandbox.outcome import Mishap, Ran

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no sandbox for this system")

SECRET = "the-cause-is-cart-0"
MIB = 1024**2
TIGHT = Limits(
    step_seconds=10.0, memory_bytes=700 * MIB, flood_bytes=8 * MIB, file_bytes=4 * MIB, scratch_bytes=8 * MIB,
    scratch_files=20, cpu_seconds=20, sessions=1000,
)  # fmt: skip
KERNEL = ("namespaces", "landlock", "seccomp")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with its labels, where anybody who may read this user's files can read it."""
    folder = tmp_path_factory.mktemp("dataset")
    for place in (folder / "truth.jsonl", folder / "recordings" / "truth.jsonl"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(f'{{"cause": "{SECRET}"}}\n')
    return folder


@pytest.fixture(scope="module", params=["all layers", "the kernel's layers", "the portable layer"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    without = {"all layers": (), "the kernel's layers": ("audit",), "the portable layer": KERNEL}[request.param]
    with Sandbox(limits=TIGHT, without=without) as opened:
        layers = opened.layers()
        assert layers is not None
        if request.param == "the kernel's layers" and layers.gaps:
            pytest.skip(f"this machine does not offer them: {layers}")
        yield opened


@pytest.fixture(scope="module")
def whole() -> Iterator[Sandbox]:
    """The sandbox as it is used."""
    with Sandbox(limits=TIGHT) as opened:
        yield opened


@pytest.fixture
def kernel(sandbox: Sandbox) -> Sandbox:
    """The sandbox, where the kernel keeps it."""
    layers = sandbox.layers()
    if layers is None or layers.gaps:
        pytest.skip("Python's fence alone does not hold libraries in C, and says so")
    return sandbox


def attack(sandbox: Sandbox, code: str) -> Ran:
    ran = sandbox.run(textwrap.dedent(code))
    assert SECRET not in ran.output + ran.problem
    return ran


def stopped(sandbox: Sandbox, code: str) -> Ran:
    """Run an attack, see that it fails its step, and that the next step works."""
    ran = attack(sandbox, code)
    assert ran.error is not None, ran
    after = sandbox.run("6 * 7")
    assert (after.output, after.error) == ("42\n", None)
    return ran


READING = {
    "by its path": "print(open({path!r}).read())",
    "by a relative path": "import os; print(open(os.path.relpath({path!r})).read())",
    "as bytes": "print(open({path!r}.encode()).read())",
    "by a descriptor": "import os; print(os.read(os.open({path!r}, os.O_RDONLY), 100))",
    "by a descriptor of its folder": (
        "import os; d = os.open({folder!r}, os.O_RDONLY); "
        "print(os.read(os.open('truth.jsonl', os.O_RDONLY, dir_fd=d), 100))"
    ),
    "through the root of the process": "print(open('/proc/self/root' + {path!r}).read())",
    "through its working directory": "import os; print(open('/proc/self/cwd/' + os.path.relpath({path!r})).read())",
    "through the root of the host": "import os; print(open(f'/proc/{{os.getppid()}}/root' + {path!r}).read())",
    "by pathlib": "import pathlib; print(pathlib.Path({path!r}).read_text())",
    "as a table": "print(pd.read_json({path!r}, lines=True))",
    "as a mapped array": "import numpy as np; print(bytes(np.memmap({path!r}, mode='r')))",
    "as a raw array": "print(bytes(np.fromfile({path!r}, dtype='u1')))",
    "by fileinput": "import fileinput; print(list(fileinput.input({path!r})))",
    "as a line of code": "import linecache, io, tokenize; print(tokenize.open({path!r}).read())",
    "as a module": (
        "import importlib.util as u; s = u.spec_from_file_location('t', {path!r}, "
        "loader=__import__('importlib.machinery').machinery.SourceFileLoader('t', {path!r})); "
        "print(s.loader.get_data({path!r}))"
    ),
    "as a database": (
        "import sqlite3; c = sqlite3.connect('file:' + {path!r} + '?mode=ro', uri=True); "
        "print(c.execute('select 1 from sqlite_master').fetchall())"
    ),
    "after moving there": "import os; os.chdir({folder!r}); print(open('truth.jsonl').read())",
}


@pytest.mark.parametrize("way", READING)
def test_labels_cannot_be_read(sandbox: Sandbox, planted: Path, way: str) -> None:
    for path in (planted / "truth.jsonl", planted / "recordings" / "truth.jsonl"):
        stopped(sandbox, READING[way].format(path=str(path), folder=str(path.parent)))


@pytest.mark.parametrize("make", ["os.symlink({path!r}, 'scratch/l')", "os.link({path!r}, 'scratch/l')"])
def test_labels_cannot_be_linked_to(sandbox: Sandbox, planted: Path, make: str) -> None:
    path = str(planted / "truth.jsonl")
    ran = stopped(sandbox, f"import os\n{make.format(path=path)}\nprint(open('scratch/l').read())")

    assert ran.error is Mishap.FORBIDDEN


def test_a_link_that_the_host_left_leads_nowhere(sandbox: Sandbox, planted: Path) -> None:
    link = sandbox.folder / "link"
    link.symlink_to(planted / "truth.jsonl")
    try:
        stopped(sandbox, "print(open('link').read())")
    finally:
        link.unlink()


@pytest.mark.parametrize(
    "code",
    [
        "import pyarrow.csv; print(pyarrow.csv.read_csv({path!r}))",
        "import pyarrow as pa; print(pa.OSFile({path!r}).read())",
        "import pyarrow as pa; print(pa.memory_map({path!r}).read())",
        "import pyarrow.fs as f; print(f.LocalFileSystem().open_input_file({path!r}).read())",
        "print(pd.read_csv({path!r}, engine='pyarrow'))",
    ],
)
def test_libraries_in_c_cannot_read_labels_where_the_kernel_keeps_files(
    kernel: Sandbox, planted: Path, code: str
) -> None:
    stopped(kernel, code.format(path=str(planted / "truth.jsonl")))


@pytest.mark.parametrize("what", ["environ", "cmdline", "maps", "mem", "fd"])
def test_the_host_cannot_be_looked_into(sandbox: Sandbox, what: str) -> None:
    stopped(
        sandbox,
        f"import os\np = f'/proc/{{os.getppid()}}/{what}'\n"
        f"print(os.listdir(p) if {what!r} == 'fd' else open(p, 'rb').read(100))",
    )


def test_the_environment_is_not_that_of_the_host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = attack(sandbox, "import os\nprint(sorted(os.environ), os.getcwd())")

    assert "PATH" not in ran.output
    assert str(sandbox.folder) not in ran.output
    attack(sandbox, "import sys; print(sys.argv, sys.orig_argv)")


def test_no_descriptor_of_the_host_is_inherited() -> None:
    with open(__file__) as held:
        os.set_inheritable(held.fileno(), True)
        with Sandbox(limits=TIGHT) as opened:
            ran = opened.run(
                "import os\nfound = []\nfor n in range(64):\n    try: found.append((n, oct(os.fstat(n).st_mode)[:4]))\n"
                "    except OSError: pass\nprint(len(found), {kind for _, kind in found})"
            )

    # Pipes and the null device, nothing else.
    assert "0o10" in ran.output
    assert "'0o10'" not in ran.output.replace("'0o10'", "", 2)


NETWORK = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
    "a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "a local socket": "import socket; socket.socket(socket.AF_UNIX).connect('/tmp/x')",
    "a name": "import socket; print(socket.getaddrinfo('localhost', 80), socket.gethostbyname('example.org'))",
    "a pair": "import socket; socket.socketpair()",
    "a server": "import socket; socket.create_server(('127.0.0.1', 0))",
    "http": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/')",
    "a table": "pd.read_csv('http://127.0.0.1:{port}/x.csv')",
    "an event loop": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "the module under it": "import _socket; _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0)",
}


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("what", NETWORK)
def test_no_socket_can_be_opened(sandbox: Sandbox, listening: int, what: str) -> None:
    stopped(sandbox, NETWORK[what].format(port=listening))


PROCESSES = {
    "fork": "import os; os.fork()",
    "a pseudo terminal": "import os; os.forkpty()",
    "subprocess": "import subprocess; print(subprocess.run(['/bin/echo', 'x'], capture_output=True).stdout)",
    "a shell": "import os; assert os.system('exit 3') >> 8 == 3",
    "a pipe": "import os; assert os.popen('echo x').read() == 'x\\n'",
    "spawn": "import os; assert os.posix_spawn('/bin/true', ['true'], {}) < 0",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "multiprocessing": "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    "a pool": "from concurrent.futures import ProcessPoolExecutor as P; P(1).submit(print).result()",
    "the function under it": "import _posixsubprocess as p; p.fork_exec",
    "the parent": "import os; os.kill(os.getppid(), 9)",
    "the group": "import os; os.killpg(os.getpgid(os.getppid()), 9)",
    "everybody": "import os; os.kill(-1, 15)",
}


@pytest.mark.parametrize("what", PROCESSES)
def test_no_process_can_be_started_or_ended(sandbox: Sandbox, what: str) -> None:
    if what == "the function under it" and (layers := sandbox.layers()) and not layers.audit:
        pytest.skip("to look at a function starts nothing")
    stopped(sandbox, PROCESSES[what])


def test_the_kernel_refuses_what_c_code_asks(kernel: Sandbox) -> None:
    layers = kernel.layers()
    assert layers is not None
    if layers.audit:
        stopped(kernel, "import ctypes")
        return
    calls = {"socket": (41, 2, 1, 0), "fork": (57,), "clone": (56, 17, 0, 0, 0, 0), "kill": (62, os.getpid(), 0),
             "ptrace": (101, 16, os.getpid(), 0, 0), "unshare": (272, 0x10000000), "setsid": (112,),
             "memfd_create": (319, 0, 0), "execveat": (322, 3, 0, 0, 0, 0x1000), "process_vm_readv": (310, os.getpid()),
             "io_uring_setup": (425, 4, 0), "shmget": (29, 0, 4096, 0o1600), "mq_open": (240, 0, 0o102, 0o600, 0),
             "sched_setaffinity": (203, os.getpid(), 8, 0)}  # fmt: skip
    listed = list(calls.values())
    ran = kernel.run(
        "import sys, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"for call in {listed}:\n    print(libc.syscall(*map(ctypes.c_long, call)), ctypes.get_errno())"
    )
    if os.uname().machine == "x86_64":
        assert ran.output.split("\n")[:-1] == ["-1 1"] * len(calls)


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10**12)",
        "x = []\nwhile True: x.append(bytearray(10**7))",
        "x = np.ones(10**10)",
        "x = 'a' * 10**11",
        "d = pd.DataFrame({'k': np.zeros(10**5), 'v': 1}); d.merge(d, on='k')",
    ],
)
def test_memory_that_runs_out_fails_the_step(whole: Sandbox, code: str) -> None:
    assert stopped(whole, f"{code}").error in (Mishap.MEMORY, Mishap.KILLED)
    whole.run("x = d = None")


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox]:
    """A sandbox whose steps may not take long."""
    with Sandbox(limits=Limits(step_seconds=1.0)) as opened:
        yield opened


@pytest.mark.parametrize(
    "code", ["while True: pass", "10**10**8", "while True:\n  try:\n    while True: pass\n  except BaseException: pass"]
)
def test_code_that_never_ends_is_ended(hasty: Sandbox, code: str) -> None:
    hasty.run("kept = 1")
    ran = stopped(hasty, code)

    assert (ran.error, ran.fresh) == (Mishap.TIMEOUT, True)
    assert hasty.run("kept").error is Mishap.ERROR


def test_time_on_the_processor_is_limited_too() -> None:
    with Sandbox(limits=Limits(cpu_seconds=1)) as opened:
        ran = stopped(opened, "while True: pass")

        assert ran.error is Mishap.TIMEOUT
        assert "processor" in ran.problem


def test_all_steps_together_have_a_time() -> None:
    with Sandbox(limits=Limits(total_seconds=2.0, step_seconds=100.0)) as opened:
        outcomes = [opened.run(f"import time; time.sleep({seconds})").error for seconds in (0, 20, 0)]

    assert outcomes == [None, Mishap.TIMEOUT, Mishap.UNAVAILABLE]


def test_a_gigabyte_of_output_is_neither_kept_nor_waited_for(whole: Sandbox) -> None:
    ran = stopped(whole, "for _ in range(1000): print('x' * 10**6)")

    assert (ran.error, ran.truncated, len(ran.output)) == (Mishap.OUTPUT, True, TIGHT.output_bytes)


def test_a_gigabyte_can_also_be_drained() -> None:
    with Sandbox(limits=Limits(flood_bytes=2 * 10**9)) as opened:
        ran = opened.run("s = 'x' * 10**7\nfor _ in range(100): print(s)")

        assert (ran.error, ran.truncated, len(ran.output)) == (None, True, 65_536)
        assert opened.run("len(s)").output == "10000000\n"


def test_output_may_come_from_below_python(sandbox: Sandbox) -> None:
    assert sandbox.run("import os\n_ = os.write(1, b'one\\n'); _ = os.write(2, b'two\\n')").output == "one\ntwo\n"


IMPORTING = {
    "plainly": "import rcabench.core.truth",
    "by importlib": "import importlib; importlib.import_module('rcabench.core.truth')",
    "along sys.path": "import sys; sys.path.insert(0, {root!r}); import rcabench.core.truth",
    "without finders of ours": (
        "import sys; sys.meta_path[:] = sys.meta_path[1:]; sys.path.insert(0, {root!r}); "
        "sys.path_importer_cache.clear(); import rcabench.core.truth as t; print(t.Truth)"
    ),
    "by its file": (
        "import importlib.util as u; s = u.spec_from_file_location('truth', {root!r} + '/rcabench/core/truth.py'); "
        "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.Truth)"
    ),
    "as text": "exec(open({root!r} + '/rcabench/core/truth.py').read())",
    "by runpy": "import runpy; runpy.run_path({root!r} + '/rcabench/core/truth.py')",
    "from a zip": "import zipimport; zipimport.zipimporter({root!r})",
    "of what is left of it": "import sys; sys.modules['rcabench']",
}


@pytest.mark.parametrize("way", IMPORTING)
def test_the_truth_cannot_be_imported(sandbox: Sandbox, way: str) -> None:
    if way == "of what is left of it":
        # Attempts before this one may have made an empty package of that name.
        sandbox.forget()
    stopped(sandbox, IMPORTING[way].format(root=str(Path(__file__).resolve().parents[2])))


def test_of_the_engine_no_module_is_within_reach(sandbox: Sandbox) -> None:
    sandbox.forget()
    code = "import sys\nprint([m for m in sys.modules if 'rcabench' in m], [p for p in sys.path if 'rcabench' in p])"

    assert sandbox.run(code).output == "[] []\n"


WRITING = {
    "a file outside": "open({path!r} + '/new', 'w')",
    "over a file": "open({path!r} + '/truth.jsonl', 'a').write('x')",
    "among the telemetry": "open('new', 'w')",
    "over the telemetry": "open('metrics.csv', 'w')",
    "a removal": "import os; os.remove({path!r} + '/truth.jsonl')",
    "a removal of telemetry": "import os; os.remove('metrics.csv')",
    "a move": "import os; open('scratch/y', 'w').close(); os.rename('scratch/y', {path!r} + '/y')",
    "a folder": "import os; os.mkdir({path!r} + '/d')",
    "a tree": "import shutil; shutil.copytree('.', {path!r} + '/copy')",
    "a mode": "import os; os.chmod({path!r} + '/truth.jsonl', 0o777)",
    "an owner": "import os; os.chown({path!r} + '/truth.jsonl', 1, 1)",
    "a time": "import os; os.utime({path!r} + '/truth.jsonl', (0, 0))",
    "a length": "import os; os.truncate({path!r} + '/truth.jsonl', 0)",
    "a removal of its own": "import os; open('scratch/y', 'w').close(); os.remove('scratch/y')",
    "a move of its own": "import os; open('scratch/y', 'w').close(); os.replace('scratch/y', 'scratch/z')",
    "a file without a name": "import os; os.open('scratch', os.O_TMPFILE | os.O_RDWR)",
    "a temporary file": "import tempfile; tempfile.TemporaryFile(dir='scratch')",
    "a pipe": "import os; os.mkfifo('scratch/fifo'); raise PermissionError",
    "a table": "pd.DataFrame({{'a': [1]}}).to_csv({path!r} + '/x.csv')",
}


@pytest.mark.parametrize("what", WRITING)
def test_nothing_can_be_written_outside_of_the_scratch_folder(sandbox: Sandbox, planted: Path, what: str) -> None:
    (sandbox.folder / "metrics.csv").write_text("time,value\n")
    before = {file: file.stat() for file in sorted(planted.rglob("*"))}

    ran = stopped(sandbox, WRITING[what].format(path=str(planted)))

    assert ran.error is Mishap.FORBIDDEN
    assert {file: file.stat() for file in sorted(planted.rglob("*"))} == before
    assert (sandbox.folder / "metrics.csv").read_text() == "time,value\n"


def test_a_file_may_not_grow_past_its_limit(sandbox: Sandbox) -> None:
    stopped(
        sandbox,
        "f = open('scratch/big', 'wb', buffering=0)\nfor _ in range(100): assert f.write(bytes(10**6)) == 10**6",
    )

    assert sum(file.stat().st_size for file in (sandbox.folder / "scratch").iterdir()) <= TIGHT.file_bytes


def test_many_files_do_not_fill_the_disk(whole: Sandbox) -> None:
    ran = stopped(
        whole, "import time\nfor n in range(10**6):\n  open(f'scratch/{n}', 'w').close()\n  time.sleep(0.001)"
    )

    assert ran.error is Mishap.DISK
    assert list((whole.folder / "scratch").iterdir()) == []


ODDITIES = {
    "a huge exception": "raise ValueError('x' * 10**7)",
    "an exception that cannot be shown": "class E(Exception):\n  def __str__(self): raise self\nraise E()",
    "an exception that exits": "class E(Exception):\n  def __str__(self): import os; raise SystemExit\nraise E()",
    "an exit": "raise SystemExit(0)",
    "an interruption": "raise KeyboardInterrupt",
    "a hard exit": "import os; os._exit(0)",
    "an abort": "import os; os.abort()",
    "recursion": "def f(n): return f(n + 1)\nf(0)",
    "recursion without a limit": (
        "import sys; sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)"
    ),
    "no syntax": "def f(:",
    "a null byte": "x = '\0'\n\0",
    "nesting": "(" * 5000 + ")" * 5000,
    "a false answer": "import os; os.write(3, b'{\"error\": null}' * 10000)\nimport time; time.sleep(60)",
    "half an answer": "import os; os.write(3, b'[1]\\n')",
    "a closed answer": "import os; os.close(3)",
    "all closed": "import os; os.closerange(0, 64)",
    "threads": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "low threads": "import _thread, time; _thread.start_new_thread(time.sleep, (60,))",
}


@pytest.mark.parametrize("what", ODDITIES)
def test_whatever_code_does_to_its_session_the_next_step_works(whole: Sandbox, what: str) -> None:
    ran = stopped(whole, ODDITIES[what])

    assert len(ran.problem) < 10_000


def test_closed_or_replaced_streams_are_there_again_in_the_next_step(sandbox: Sandbox) -> None:
    for code in ("import sys; sys.stdout.close()", "import os; os.close(1); os.close(2)", "sys.stdout = None"):
        sandbox.run(code)

        assert sandbox.run("print('here')").output == "here\n"


@pytest.mark.parametrize(
    "code",
    [
        "import io; pd.read_csv(io.StringIO('a\\n1\\n'))",
        "pd.DataFrame({'a': [1]}).to_parquet('scratch/t'); pd.read_parquet('scratch/t', filters=[('a', '>', 0)])",
        "pd.Series(pd.to_datetime(['2021-03-04 14:57:00'])).dt.tz_localize('Asia/Shanghai').dt.tz_convert('UTC')",
        "pd.DataFrame({'a': [1, 2]}).query('a > 1').describe().to_string()",
    ],
)
def test_what_works_with_tables_is_refused_nothing(code: str) -> None:
    """By the first step of a session: libraries look at the machine when they are first used."""
    with Sandbox(limits=TIGHT) as opened:
        ran = opened.run(code)

    assert (ran.error, ran.problem) == (None, "")


TAMPERING = {
    "another hook": "import sys; sys.addaudithook(lambda *a: None); print(open({path!r}).read())",
    "another open": "import builtins, io; builtins.open = io.open; print(open({path!r}).read())",
    "no finder": "import sys; sys.meta_path.clear(); print(open({path!r}).read())",
    "other paths": "import os; os.path.realpath = lambda p: '/dev/null'; print(open({path!r}).read())",
    "the garbage collector": (
        "import gc\nfor o in gc.get_objects():\n  if type(o).__name__ == 'Fence': o._readable = ('',)\n"
        "print(open({path!r}).read())"
    ),
    "another code": "(lambda: 0).__code__.replace(co_consts=()); print(open({path!r}).read())",
}


@pytest.mark.parametrize("way", TAMPERING)
def test_the_fence_is_not_taken_down_by_the_usual_tricks(planted: Path, way: str) -> None:
    with Sandbox(limits=TIGHT) as opened:
        stopped(opened, TAMPERING[way].format(path=str(planted / "truth.jsonl")))


def test_code_that_gets_at_the_fence_still_meets_the_kernel(planted: Path) -> None:
    code = """
        try:
            open('/etc/passwd')
        except PermissionError as error:
            trace = error.__traceback__
        while trace is not None:
            fence = trace.tb_frame.f_locals.get('self')
            if fence is not None:
                fence._check = lambda *a, **k: None
                fence._readable = ('',)
            trace = trace.tb_next
        """
    with Sandbox(limits=TIGHT) as opened:
        layers = opened.layers()
        if layers is None or not layers.landlock:
            pytest.skip("without Landlock nothing keeps such code, and the sandbox says so")
        attack(opened, code)
        for path in (planted / "truth.jsonl", Path("/etc/passwd")):
            ran = stopped(opened, f"print(open({str(path)!r}).read())")

            assert ran.error is Mishap.FORBIDDEN


def test_what_was_refused_fails_the_step_even_where_the_code_hides_it(planted: Path) -> None:
    code = f"try:\n  open({str(planted / 'truth.jsonl')!r})\nexcept Exception:\n  pass\nprint('nothing happened')"
    with Sandbox(limits=TIGHT) as opened:
        ran = opened.run(code)

    assert ran.error is Mishap.FORBIDDEN


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="asks /proc")
def test_nothing_runs_between_steps(whole: Sandbox) -> None:
    pid = int(whole.run("import os; os.getpid()").output)

    deadline = time.monotonic() + 5
    while _state(pid) != "T" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _state(pid) == "T"
    assert whole.run("'on again'").output == "on again\n"


def test_nothing_is_left_of_a_sandbox() -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with Sandbox(limits=TIGHT) as opened:
        folder = opened.folder
        pid = int(opened.run("import os; os.getpid()").output)
        opened.run("open('scratch/x', 'w').write('x')")

    assert not folder.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_session_dies_with_its_host_in_the_middle_of_whatever_it_does() -> None:
    _dies_with_its_host("10**10**8")


def _dies_with_its_host(code: str) -> None:
    host = f"""
        from rcabench.sandbox.box import Sandbox
        sandbox = Sandbox(without=("audit",))
        print(sandbox.run("import os; os.getpid()").output.strip(), flush=True)
        sandbox.run({code!r})
        """
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(host)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    time.sleep(0.3)
    process.kill()
    process.wait()
    process.stdout.close()

    deadline = time.monotonic() + 5
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    # A zombie whose new parent is slow to bury it is dead.
    return _state(pid) not in (None, "Z")


def _state(pid: int) -> str | None:
    """Return what /proc says a process does; None for one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def test_several_sandboxes_work_side_by_side() -> None:
    outcomes: dict[int, tuple[str, str, str]] = {}

    def work(number: int) -> None:
        with Sandbox(limits=TIGHT) as opened:
            first, second = opened.run(f"x = {number}"), opened.run("x")
            outcomes[number] = (first.problem, second.problem, second.output)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == {number: ("", "", f"{number}\n") for number in range(3)}


@pytest.mark.parametrize("lowest", [3, 38, 39, 40, 60])
def test_a_session_begins_however_many_files_the_host_has_open(lowest: int) -> None:
    """Wherever its two descriptors lie at the host; around 40 they once met those that it moves them to."""
    held = [os.dup(0)]
    while held[-1] < lowest - 1:
        held.append(os.dup(0))
    try:
        with Sandbox(limits=TIGHT) as opened:
            ran = opened.run("6 * 7")

        assert (ran.problem, ran.output) == ("", "42\n")
    finally:
        for descriptor in held:
            os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
def test_what_the_kernel_offers_is_used(whole: Sandbox) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_long
    landlock = libc.syscall(number(444), None, number(0), number(1))
    # Asked for a filter that lies nowhere, a kernel that has filters answers that it lies nowhere.
    filters = libc.prctl(22, 2, 0) == -1 and ctypes.get_errno() == errno.EFAULT
    layers = whole.layers()

    assert layers is not None
    assert layers.landlock == max(landlock, 0)
    assert layers.seccomp is (filters and os.uname().machine in ("x86_64", "aarch64"))
    assert layers.capabilities
    assert layers.privileges
    assert layers.audit


def test_every_layer_can_be_missing() -> None:
    for layer in ("namespaces", "landlock", "seccomp"):
        with Sandbox(limits=TIGHT, without=(layer,)) as opened:
            layers = opened.layers()

            assert layers is not None
            assert not getattr(layers, layer)
            assert opened.run("1 + 1").output == "2\n"
    with Sandbox(limits=TIGHT, without=KERNEL) as opened:
        assert "without Landlock" in opened.describe()


def test_room_on_the_disk_cannot_be_taken_where_nobody_counts_it(kernel: Sandbox) -> None:
    """Room beyond the end of a file, and files that have no name or no longer one."""
    ran = kernel.run(
        "import os\ndescriptor = os.open('scratch/room', os.O_CREAT | os.O_RDWR)\n"
        "tried = [lambda: os.unlink('scratch/room'), lambda: os.rename('scratch/room', 'scratch/other'),\n"
        "         lambda: os.open('scratch', os.O_TMPFILE | os.O_RDWR)]\n"
        "for one in tried:\n  try: print(one())\n  except OSError: print('refused')"
    )
    assert ran.output == "refused\n" * 3
    layers = kernel.layers()
    if os.uname().machine != "x86_64" or layers is None or layers.audit:
        return

    ran = kernel.run(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for call in ((285, descriptor, 1, 0, 1 << 20), (437, -100, 0, 0, 0), (87, 0), (263, -100, 0, 0)):\n"
        "  print(libc.syscall(*map(ctypes.c_long, call)), ctypes.get_errno())\n"
        "os.fstat(descriptor).st_blocks"
    )
    assert ran.output == "-1 1\n-1 38\n-1 1\n-1 1\n0\n"


def test_limits_of_the_host_cannot_be_set(kernel: Sandbox) -> None:
    """A limit of a second on the processor would end it."""
    ran = kernel.run(f"import resource; resource.prlimit({os.getpid()}, resource.RLIMIT_CORE)")

    assert ran.error is not None
    assert kernel.run("import resource; resource.getrlimit(resource.RLIMIT_CORE)").error is None


def test_the_host_is_not_moved_to_another_processor(kernel: Sandbox) -> None:
    before = os.sched_getaffinity(0)
    try:
        ran = kernel.run(f"import os; os.sched_setaffinity({os.getpid()}, {{{min(before)}}})")

        assert ran.error is Mishap.FORBIDDEN
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
def test_attributes_of_files_outside_are_not_written(kernel: Sandbox, planted: Path) -> None:
    """By a call that came after those which the filter names, and without opening the file."""
    layers = kernel.layers()
    if layers is None or layers.audit:
        pytest.skip("there is no ctypes")
    file = planted / "truth.jsonl"
    ran = kernel.run(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nvalue = ctypes.create_string_buffer(b'x')\n"
        "said = (ctypes.c_uint64 * 2)(ctypes.addressof(value), 1)\n"
        f"libc.syscall(463, -100, {str(file).encode()!r}, 0, b'user.note', said, ctypes.c_long(16))"
    )

    assert ran.output == "-1\n"
    assert os.listxattr(file) == []


@pytest.mark.parametrize(
    "what",
    [
        "fcntl.fcntl(descriptor, 1024, fcntl.F_WRLCK)",
        "fcntl.lockf(descriptor, fcntl.LOCK_SH)",
        "fcntl.ioctl(descriptor, 0x80086601, bytes(8))",
    ],
    ids=["a lease", "a lock", "flags"],
)
def test_of_files_that_can_be_read_nothing_is_changed_that_others_would_meet(kernel: Sandbox, what: str) -> None:
    """Neither a lease, which makes others wait who open the file, nor its flags, which are not even asked for here."""
    ran = stopped(kernel, f"import fcntl, os\ndescriptor = os.open(os.__file__, os.O_RDONLY)\nprint({what})")

    assert ran.error is Mishap.FORBIDDEN


@pytest.mark.parametrize(
    "way",
    [
        "os.close(4)",
        "os.dup2(1, 4)",
        "os.dup2(1, 4, inheritable=False)",
        "fcntl.fcntl(4, fcntl.F_SETFL, 0)",
        "fcntl.ioctl(4, 0x5421, bytes(4))",
    ],
)
def test_the_line_by_which_a_session_dies_with_its_host_cannot_be_cut(kernel: Sandbox, way: str) -> None:
    assert stopped(kernel, f"import os, fcntl\n{way}").error is Mishap.FORBIDDEN


def test_a_session_that_closes_all_it_can_dies_with_its_host() -> None:
    _dies_with_its_host("import os\nos.closerange(5, 64); os.closerange(4, 5); 10**10**8")


def test_threads_without_end_do_not_use_up_the_machines_processes(whole: Sandbox) -> None:
    ran = stopped(
        whole,
        "import threading\nthreading.stack_size(32768)\nnever = threading.Event()\n"
        "while True: threading.Thread(target=never.wait, daemon=True).start()",
    )

    assert ran.error is Mishap.THREADS


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
def test_timers_do_not_use_up_the_signals_of_the_user(kernel: Sandbox) -> None:
    layers = kernel.layers()
    if layers is None or layers.audit:
        pytest.skip("there is no ctypes")
    ran = kernel.run(
        "import ctypes\nlibc = ctypes.CDLL(None)\nmade = [libc.syscall(222, 0, None, (ctypes.c_int * 1)())\n"
        "        for _ in range(200)]\nmade.count(0) <= 64"
    )

    assert ran.output == "True\n"


PRETENDING = {
    "an answer nested too deep": "b'[' * 60_000 + b'\\n'",
    "an error that is a list": 'b\'{{"number": {number}, "error": []}}\\n\'',
    "a problem that is an object": 'b\'{{"number": {number}, "error": "error", "problem": {{}}}}\\n\'',
    "an answer to no step": "b'{{\"error\": null}}\\n'",
    "an answer to another step": 'b\'{{"number": 1000000, "error": null}}\\n\'',
}


@pytest.mark.parametrize("what", PRETENDING)
def test_what_is_no_answer_to_the_step_ends_the_session_and_not_the_host(what: str) -> None:
    with Sandbox(limits=TIGHT) as opened:
        ran = stopped(opened, f"import os; _ = os.write(3, {PRETENDING[what].format(number=1)}); print('done')")

        assert (ran.error, ran.fresh) == (Mishap.KILLED, True)


def test_who_answers_twice_does_not_answer_the_next_step_as_well() -> None:
    with Sandbox(limits=TIGHT) as opened:
        assert opened.run('import os; _ = os.write(3, b\'{"number": 1, "error": null}\\n\')').error is None

        assert opened.run("6 * 7").error is Mishap.KILLED
        assert opened.run("6 * 7").output == "42\n"


def test_who_pretends_to_have_answered_and_reads_no_more_does_not_keep_the_host_waiting() -> None:
    with Sandbox(limits=Limits(step_seconds=2.0)) as opened:
        kept_waiting = threading.Timer(60.0, opened.close)
        kept_waiting.start()
        code = 'import os, time; _ = os.write(3, b\'{"number": 1, "error": null}\\n\'); time.sleep(60)'
        assert opened.run(code).error is None

        ran = opened.run("#" * 200_000)
        kept_waiting.cancel()

        assert ran.error is Mishap.TIMEOUT
        assert opened.run("6 * 7").output == "42\n"


def test_what_is_raised_can_be_written_down(sandbox: Sandbox) -> None:
    ran = stopped(sandbox, "raise ValueError('half a character: \\ud800')")

    assert ran.problem.endswith("half a character: ?")


@pytest.mark.parametrize("name", ["print", "compile", "exec", "isinstance"])
def test_built_in_functions_that_code_takes_away_are_there_again_in_the_next_step(sandbox: Sandbox, name: str) -> None:
    sandbox.run(f"import ast, builtins; ast.parse = builtins.{name} = None")

    assert sandbox.run("6 * 7").output == "42\n"


def test_signals_by_descriptors_do_not_reach_the_host(kernel: Sandbox) -> None:
    reached: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: reached.append(number))
    try:
        kernel.run(
            "import os, fcntl\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())\n"
            f"fcntl.fcntl(r, 10, {int(signal.SIGUSR2)})\nfcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')"
        )
        time.sleep(0.05)
    finally:
        signal.signal(signal.SIGUSR2, before)

    assert reached == []
