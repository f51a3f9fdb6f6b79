"""Made-up systems in the manner of OpenRCA's: their components, KPIs, calls, and what each reason does to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Something that can fail and is measured.

    Attributes:
        level: pod, node or service, as records call it.
        cmdb_id: how container or node metrics call it.
        table: file of metrics that holds it.
        kpis: name -> value when all is well.
    """

    name: str
    level: str
    cmdb_id: str
    table: str
    kpis: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUpSystem:
    """A system small enough for tests.

    Attributes:
        folder: below the publisher's folder.
        first_day: in UTC+8.
        unit: how many units of the metrics' clock make a second.
        parts: what is measured.
        groups: services of several pods -> the pods.
        effects: reason -> KPI -> factor while it lasts.
        slow: reasons for which a part takes longer for its own work.
        lagging: reasons for which calls to and from a part take longer on their way.
        ways: chains of pods (or others with spans) that requests take, from the entry on.
    """

    folder: str
    first_day: date
    unit: int
    parts: tuple[Part, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    effects: Mapping[str, Mapping[str, float]]
    slow: frozenset[str]
    lagging: frozenset[str]
    ways: tuple[tuple[str, ...], ...]

    def choices(self) -> tuple[tuple[str, str, str], ...]:
        """Return every (level, component, reason) that can be seen in its metrics."""
        found = {
            (part.level, part.name, reason)
            for part in self.parts
            for reason, effect in self.effects.items()
            if set(effect) & set(part.kpis)
        }
        for service, pods in self.groups.items():
            found |= {("service", service, reason) for level, name, reason in found if name in pods}
        return tuple(sorted(found))

    def members(self, component: str) -> tuple[str, ...]:
        """Return the parts that fail when a component does."""
        return self.groups.get(component, (component,))


def made_up_system(name: str) -> MadeUpSystem:
    """Return the system called bank, telecom, market-cloudbed-1 or market-cloudbed-2.

    Raises:
        ValueError: there is none of that name.
    """
    if name == "bank":
        return _bank()
    if name == "telecom":
        return _telecom()
    if name in ("market-cloudbed-1", "market-cloudbed-2"):
        return _market(name.removeprefix("market-"))
    raise ValueError(f"no system {name!r}")


_BANK_KPIS: Mapping[str, float] = {
    "OSLinux-CPU_CPU_CPUCpuUtil": 12.0,
    "OSLinux-OSLinux_MEMORY_MEMORY_MEMUsedMemPerc": 38.0,
    "OSLinux-OSLinux_LOCALDISK_LOCALDISK-sda_DSKRead": 25.0,
    "OSLinux-OSLinux_LOCALDISK_LOCALDISK-sda_DSKPercentBusy": 6.0,
    "OSLinux-OSLinux_NETWORK_ens160_NETPacketsIn": 900.0,
    "OSLinux-OSLinux_NETWORK_NETWORK_TCP-FIN-WAIT": 4.0,
}
_JVM_KPIS: Mapping[str, float] = {
    "JVM-Operating System_7779_JVM_JVM_CPULoad": 0.09,
    "JVM-Memory_7779_JVM_Memory_HeapMemoryUsed": 310.0,
}


def _bank() -> MadeUpSystem:
    names = ("apache01", "apache02", "MG01", "IG01", "Tomcat01", "Tomcat02", "Mysql01", "Redis01")
    return MadeUpSystem(
        folder="Bank",
        first_day=date(2021, 3, 4),
        unit=1,
        parts=tuple(
            Part(
                name=name, level="pod", cmdb_id=name, table="metric_container",
                kpis={**_BANK_KPIS, **(_JVM_KPIS if name.startswith("Tomcat") else {})},
            )
            for name in names
        ),
        effects={
            "high CPU usage": {"OSLinux-CPU_CPU_CPUCpuUtil": 6.5},
            "high memory usage": {"OSLinux-OSLinux_MEMORY_MEMORY_MEMUsedMemPerc": 2.4},
            "network latency": {"OSLinux-OSLinux_NETWORK_NETWORK_TCP-FIN-WAIT": 20.0},
            "network packet loss": {
                "OSLinux-OSLinux_NETWORK_ens160_NETPacketsIn": 0.3,
                "OSLinux-OSLinux_NETWORK_NETWORK_TCP-FIN-WAIT": 12.0,
            },
            "high disk I/O read usage": {"OSLinux-OSLinux_LOCALDISK_LOCALDISK-sda_DSKRead": 25.0},
            "high JVM CPU load": {"JVM-Operating System_7779_JVM_JVM_CPULoad": 9.0},
            "JVM Out of Memory (OOM) Heap": {"JVM-Memory_7779_JVM_Memory_HeapMemoryUsed": 4.0},
        },
        slow=frozenset({"high JVM CPU load"}),
        lagging=frozenset({"network latency", "network packet loss"}),
        ways=(
            ("apache01", "Tomcat01", "MG01", "Mysql01"), ("apache02", "Tomcat02", "IG01", "Redis01"),
            ("apache01", "Tomcat02", "MG01", "Redis01"),
        ),
    )  # fmt: skip


_POD_KPIS: Mapping[str, float] = {
    "container_cpu_usage_seconds": 0.4,
    "container_memory_usage_MB": 120.0,
    "container_fs_reads./dev/vda": 3.0,
    "container_fs_writes./dev/vda": 5.0,
    "container_network_receive_packets.eth0": 700.0,
    "container_threads": 22.0,
}
_NODE_KPIS: Mapping[str, float] = {
    "system.cpu.pct_usage": 21.0, "system.mem.used": 4000.0, "system.io.r_s": 12.0, "system.disk.pct_usage": 40.0,
}  # fmt: skip
_SHOP = ("frontend", "checkoutservice", "cartservice", "adservice")
_COPIES = ("-0", "-1", "-2", "2-0")


def _market(cluster: str) -> MadeUpSystem:
    pods = [f"{service}{copy}" for service in _SHOP for copy in _COPIES]
    on_node = {pod: f"node-{number % 6 + 1}" for number, pod in enumerate(pods)}
    containers = [
        Part(name=pod, level="pod", cmdb_id=f"{on_node[pod]}.{pod}", table="metric_container", kpis=_POD_KPIS)
        for pod in pods
    ]
    nodes = [
        Part(name=node, level="node", cmdb_id=node, table="metric_node", kpis=_NODE_KPIS)
        for node in sorted(set(on_node.values()))
    ]
    return MadeUpSystem(
        folder=f"Market/{cluster}",
        first_day=date(2022, 3, 20),
        unit=1,
        parts=(*containers, *nodes),
        groups={service: tuple(f"{service}{copy}" for copy in _COPIES) for service in _SHOP},
        effects={
            "container CPU load": {"container_cpu_usage_seconds": 8.0},
            "container memory load": {"container_memory_usage_MB": 3.0},
            "container network latency": {"container_network_receive_packets.eth0": 0.4},
            "container read I/O load": {"container_fs_reads./dev/vda": 40.0},
            "container write I/O load": {"container_fs_writes./dev/vda": 40.0},
            "node CPU load": {"system.cpu.pct_usage": 4.2},
            "node memory consumption": {"system.mem.used": 2.5},
            "node disk read I/O consumption": {"system.io.r_s": 30.0},
        },
        slow=frozenset({"container CPU load"}),
        lagging=frozenset({"container network latency"}),
        ways=tuple((f"frontend{copy}", f"checkoutservice{copy}", f"cartservice{copy}") for copy in _COPIES)
        + tuple((f"frontend{copy}", f"adservice{copy}") for copy in _COPIES),
    )


def _telecom() -> MadeUpSystem:
    hosts = {
        "CPU_util_pct": 15.0,
        "Memory_used_pct": 45.0,
        "Sent_queue": 2.0,
        "Received_queue": 2.0,
        "Disk_io_util": 7.0,
    }
    databases = {"Proc_Used_Pct": 20.0, "Sess_Connect": 60.0, "On_Off_State": 1.0, "tnsping_result_time": 3.0}
    return MadeUpSystem(
        folder="Telecom",
        first_day=date(2020, 4, 11),
        unit=1000,
        parts=(
            *(
                Part(name=name, level="node", cmdb_id=name, table="metric_node", kpis=hosts)
                for name in ("os_001", "os_017", "os_018", "os_021")
            ),
            *(
                Part(
                    name=f"docker_00{number}", level="pod", cmdb_id=f"docker_00{number}", table="metric_container",
                    kpis={"container_cpu_used": 9.0, "container_mem_used": 30.0, "container_session_used": 50.0},
                )
                for number in range(1, 5)
            ),
            *(
                Part(name=name, level="service", cmdb_id=name, table="metric_service", kpis=databases)
                for name in ("db_003", "db_007", "db_009")
            ),
        ),
        effects={
            "CPU fault": {"container_cpu_used": 8.0},
            "network delay": {"Sent_queue": 30.0, "Received_queue": 30.0},
            "db connection limit": {"Sess_Connect": 5.0, "Proc_Used_Pct": 4.5},
            "db close": {"On_Off_State": 0.0},
        },
        slow=frozenset({"CPU fault"}),
        lagging=frozenset({"network delay"}),
        ways=(("os_021", "docker_001", "docker_003"), ("os_021", "docker_002", "docker_004")),
    )  # fmt: skip
