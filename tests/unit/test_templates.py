"""Log templates: what is masked, what is kept, what falls together and what stays apart."""

from __future__ import annotations

import duckdb
import pytest

from rcabench.datasets.recording.templates import STATES, TemplateMiner, statement_sql


def mined(*bodies: str) -> list[str]:
    """Return the template of each body, mined together."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE lines (body VARCHAR)")
    connection.executemany("INSERT INTO lines VALUES (?)", [[body] for body in bodies])
    found = connection.execute(f"SELECT body, {statement_sql('body')} FROM lines").fetchall()
    statements = dict(found)
    miner = TemplateMiner()
    groups = {statement: miner.learn(statement) for statement in sorted(set(statements.values()))}
    return [miner.template(statements[body], groups[statements[body]]) for body in bodies]


@pytest.mark.parametrize(
    ("first", "second", "template"),
    [
        ("took 12 of 30", "took 7 of 4", "took <*> of <*>"),
        ("took 3.25ms", "took 120ms", "took <*>"),
        ("ratio 5% of -3", "ratio 99% of 12", "ratio <*> of <*>"),
        ("order 5f0c2a1e9b7d done", "order deadbeef0000 done", "order <*> done"),
        ("at 0xDEADbeef", "at 0x12", "at <*>"),
        (
            "user 4d2a46c7-71cb-4cf1-b5bb-b68406d9da6f left",
            "user 00000000-71cb-4cf1-b5bb-b68406d9da6f left",
            "user <*> left",
        ),
        ("from 10.0.0.1:8080 closed", "from 192.168.1.77 closed", "from <*> closed"),
        ("2026-01-02T03:04:05.678Z up", "2026-01-02 03:04:05 up", "<*> up"),
        ("due Sun Jan 29 19:03:35 CST 2023 now", "due Mon Feb 06 01:00:00 UTC 2023 now", "due <*> now"),
        ("items ['A', 'B', 'C'] sent", "items ['D'] sent", "items [<*>] sent"),
        ("ids [1, 2, 3] sent", "ids [44] sent", "ids [<*>] sent"),
        (
            "cart [id:7 count:1 id:9 count:4 id:8 count:2 ] ok",
            "cart [id:5 count:3 ] ok",
            "cart [id:<*> count:<*> ] ok",
        ),
        (
            "[Seat(no=1, from=ulm), Seat(no=2, from=ulm)] free",
            "[Seat(no=3, from=ulm)] free",
            "[Seat(no=<*>, from=ulm)] free",
        ),
        ('{"id":"a1b2","level":"info"}', '{"id":"c3","level":"info"}', '{"id":<*>,"level":"info"}'),
        ("pod cart-6cfdd55578-gfj6q ready", "pod cart-7d9f8b6c54-x2x9z ready", "pod cart-<*> ready"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc-DEF_x ok", "token eyJ0eXAi.eyJ4.zz ok", "token <*> ok"),
        ("product OLJCESPC7Z gone", "product LS4PSXUNUM gone", "product <*> gone"),
    ],
)
def test_bodies_that_differ_in_a_value_share_a_template(first: str, second: str, template: str) -> None:
    assert mined(first, second) == [template, template]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("order created", "order removed"),
        ("TraceID: a1b2c3d4e5f60718 SpanID: 12 request started", "TraceID: 99 SpanID: 13 request completed"),
        ("x.OrderService#31 saved 5", "x.OrderService#32 saved 5"),
        ("OrderService#31 saved 5", "CartService#31 saved 5"),
        ('File "app.py:31" failed', 'File "app.py:77" failed'),
        ("utf8 accepted", "http2 accepted"),
    ],
)
def test_statements_that_mean_different_things_stay_apart(first: str, second: str) -> None:
    one, other = mined(first, second)

    assert one != other


def test_a_source_line_is_kept_and_an_order_number_is_not() -> None:
    assert mined("a.b.Orders#31 TraceID: 7f saved order #12345") == ["a.b.Orders#31 TraceID: <*> saved order #<*>"]


def test_a_name_becomes_a_gap_once_it_takes_more_values_than_a_state() -> None:
    names = ("ann", "bob", "cid", "dan")
    assert len(names) == STATES + 1

    assert mined(*(f"user {name} has logged in" for name in names)) == ["user <*> has logged in"] * 4
    assert mined(*(f"user {name} has logged in" for name in names[:-1])) == [
        f"user {name} has logged in" for name in names[:-1]
    ]


def test_a_list_that_was_cut_off_in_its_middle_folds_like_a_whole_one() -> None:
    whole = "seats [Seat(no=1, from=ulm), Seat(no=2, from=ulm)"
    cut = "seats [Seat(no=1, from=ulm), Seat(no=2, from=ulm), Seat(no=3, fr"

    assert len({template.rstrip("()") for template in mined(whole, cut)}) == 1


@pytest.mark.parametrize("body", ["----", "{}", "???", "<*>", "42", "\ue000"])
def test_a_body_without_words_has_a_template_of_its_own(body: str) -> None:
    (template,) = mined(body)

    assert template
    assert "\ue000" not in template


def test_a_long_body_is_recognised_by_its_head() -> None:
    head = "dump of the heap " + "word " * 600

    first, second = mined(head + "alpha", head + "omega")

    assert first == second


def test_templates_that_look_alike_in_the_text_are_mined_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    mined("a b c", "a b d")

    assert not recwarn.list
