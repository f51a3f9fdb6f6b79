"""Pooling, cross-examination and the call graph: pure functions from evidence to suspects."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.agents.call_graph import descendants, likeliest_chain
from rcabench.agents.cross_examination import cross_examine
from rcabench.agents.lineup import lineup_names, load_lineup
from rcabench.agents.pooling import Weights, effective, pool
from rcabench.agents.scene import Placement, Scene, stretches
from rcabench.agents.specialists.base import Report
from rcabench.agents.specialists.metric_kinds import kind_of
from rcabench.agents.team import judge
from rcabench.core.component import ComponentRef, Level
from rcabench.core.errors import ConfigError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.core.verdict import Evidence, Modality, Signal

WINDOW = TimeWindow.of("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")
INCIDENT = Incident(id="i", dataset="d", symptom="slow", window=WINDOW, asked=(Aspect.SERVICE,))
SCENE = Scene(
    incident=INCIDENT,
    onset=None,
    after=WINDOW,
    baseline=(),
    long_baseline=(),
    pods={f"{name}-0": Placement(service=name, pod=f"{name}-0", host=f"node-{name}") for name in ("web", "cart", "db")},
    callers={"cart": {"web": 10}, "db": {"cart": 9, "web": 1}},
)


def evidence(
    service: str,
    strength: float,
    signal: Signal = Signal.BEHAVIOR,
    modality: Modality = Modality.TRACE,
    fault_type: str | None = None,
    tag: str = "",
) -> Evidence:
    return Evidence(
        id=f"{modality}:{service}:{signal}{tag}",
        modality=modality,
        component=ComponentRef(level=Level.POD, name=f"{service}-0"),
        claim="it changed",
        strength=strength,
        signal=signal,
        fault_type=fault_type,
    )


def ranking(*items: Evidence, weights: Weights | None = None) -> list[str | None]:
    return [suspect.place.service for suspect in pool(items, SCENE, weights or Weights(other=0.9))]


def test_the_callee_is_blamed_when_caller_and_callee_misbehave_alike() -> None:
    assert ranking(evidence("web", 0.9), evidence("cart", 0.85)) == ["cart", "web"]


def test_a_weak_callee_does_not_explain_a_strong_caller_away() -> None:
    assert ranking(evidence("web", 0.95), evidence("cart", 0.2)) == ["web", "cart"]


def test_slow_work_of_its_own_is_not_explained_by_a_callee() -> None:
    strong = evidence("web", 0.9, Signal.SELF_TIME)

    assert ranking(strong, evidence("cart", 0.85)) == ["web", "cart"]


def test_two_modalities_weigh_more_than_one() -> None:
    both = (evidence("cart", 0.6, Signal.RESOURCE, Modality.METRIC), evidence("cart", 0.6, Signal.SELF_TIME))

    assert ranking(*both, evidence("db", 0.7, Signal.SELF_TIME))[0] == "cart"


def test_many_pieces_of_one_kind_weigh_as_one() -> None:
    chatty = [evidence("cart", 0.5, Signal.SELF_TIME, tag=str(n)) for n in range(20)]

    assert ranking(*chatty, evidence("db", 0.6, Signal.SELF_TIME))[0] == "db"


def test_disputed_evidence_falls_behind_undisputed_evidence() -> None:
    reports = (
        Report(modality=Modality.METRIC, evidence=(evidence("cart", 0.9, Signal.LATENCY, Modality.METRIC),)),
        Report(
            modality=Modality.TRACE,
            evidence=(evidence("db", 0.6, Signal.LATENCY),),
            watched=frozenset({"cart", "db"}),
        ),
    )
    examined = cross_examine(SCENE, reports)

    assert next(e for e in examined if "cart" in e.id).disputed_by == ("trace:silent",)
    assert ranking(*examined)[0] == "db"


def test_a_dispute_takes_its_share_of_the_strength_and_a_confirmation_adds_to_it() -> None:
    plain, weights = evidence("cart", 0.5), Weights(other=1.0, disputed=0.6, confirmed=0.2)

    assert effective(plain, weights) == pytest.approx(0.5)
    assert effective(replace(plain, disputed_by=("log:silent",)), weights) == pytest.approx(0.2)
    assert effective(replace(plain, confirmed_by=("x",)), weights) == pytest.approx(1 - 0.5**1.2)


def test_silence_about_a_service_that_nobody_watches_disputes_nothing() -> None:
    reports = (
        Report(modality=Modality.METRIC, evidence=(evidence("cart", 0.9, Signal.RESOURCE, Modality.METRIC),)),
        Report(modality=Modality.TRACE, watched=frozenset({"db"})),
    )

    assert cross_examine(SCENE, reports)[0].disputed_by == ()


def test_the_latency_of_a_service_that_no_request_passes_is_disputed() -> None:
    claim = Report(modality=Modality.METRIC, evidence=(evidence("cart", 0.9, Signal.LATENCY, Modality.METRIC),))
    without_traces = Report(modality=Modality.TRACE)
    elsewhere = Report(modality=Modality.TRACE, watched=frozenset({"db"}))

    assert cross_examine(SCENE, (claim, without_traces))[0].disputed_by == ()
    assert cross_examine(SCENE, (claim, elsewhere))[0].disputed_by == ("trace:unseen",)


def test_another_story_about_the_same_service_is_no_confirmation() -> None:
    reports = (
        Report(modality=Modality.METRIC, evidence=(evidence("cart", 0.9, Signal.LATENCY, Modality.METRIC),)),
        Report(modality=Modality.TRACE, evidence=(evidence("cart", 0.9),), watched=frozenset({"cart"})),
    )
    claim = next(e for e in cross_examine(SCENE, reports) if e.modality is Modality.METRIC)

    assert claim.confirmed_by == ()
    assert claim.disputed_by == ("trace:silent",)


def test_the_same_branch_seen_in_traces_and_in_logs_counts_once() -> None:
    twice = (evidence("cart", 0.6), evidence("cart", 0.6, Signal.BEHAVIOR, Modality.LOG))

    assert pool(twice, SCENE, Weights(other=0.9))[0].suspicion == pytest.approx(0.54)


def test_a_service_off_the_alerts_path_is_suspected_less() -> None:
    alert = ComponentRef(level=Level.SERVICE, name="cart")
    scene = replace(SCENE, incident=replace(INCIDENT, symptom_component=alert))
    items = (evidence("web", 0.9, Signal.SELF_TIME), evidence("db", 0.5, Signal.SELF_TIME))

    assert [s.place.service for s in pool(items, scene, Weights(other=0.9))] == ["db", "web"]


def test_an_alert_about_errors_weakens_evidence_of_latency() -> None:
    scene = replace(SCENE, incident=replace(INCIDENT, symptom_metric="availability"))
    items = (evidence("cart", 0.8, Signal.LATENCY), evidence("web", 0.5, Signal.ERROR))

    assert [s.place.service for s in pool(items, SCENE, Weights(other=0.9))] == ["cart", "web"]
    assert [s.place.service for s in pool(items, scene, Weights(other=0.9))] == ["web", "cart"]


def test_a_modality_confirms_another_with_evidence_about_the_same_service() -> None:
    reports = (
        Report(modality=Modality.METRIC, evidence=(evidence("cart", 0.5, Signal.RESOURCE, Modality.METRIC),)),
        Report(modality=Modality.TRACE, evidence=(evidence("cart", 0.5, Signal.SELF_TIME),)),
    )

    assert all(item.confirmed_by for item in cross_examine(SCENE, reports))


@given(st.permutations(range(6)))
def test_the_order_of_evidence_does_not_matter(order: list[int]) -> None:
    pairs = itertools.product(("web", "cart", "db"), (Signal.SELF_TIME, Signal.BEHAVIOR))
    items = [evidence(name, 0.1 * index + 0.3, signal) for index, (name, signal) in enumerate(pairs)]

    assert pool([items[i] for i in order], SCENE, Weights()) == pool(items, SCENE, Weights())


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_suspicion_stays_between_zero_and_one(strengths: list[float]) -> None:
    items = [evidence("cart", s, signal) for s, signal in zip(strengths, itertools.cycle(Signal), strict=False)]

    assert all(0.0 <= suspect.suspicion <= 1.0 for suspect in pool(items, SCENE, Weights(other=1.0)))


def test_the_fault_type_with_the_most_weight_is_named_first() -> None:
    items = (
        evidence("cart", 0.6, Signal.CALL_GAP, fault_type="network_delay"),
        evidence("cart", 0.5, Signal.SELF_TIME, fault_type="cpu"),
        evidence("cart", 0.5, Signal.RESOURCE, Modality.METRIC, fault_type="cpu"),
    )

    assert pool(items, SCENE, Weights(other=0.9))[0].fault_types == ("cpu", "network_delay")


def test_a_vague_fault_type_is_named_only_where_nobody_knows_better() -> None:
    vague = evidence("cart", 0.9, Signal.LATENCY, fault_type="latency")
    clear = evidence("cart", 0.5, Signal.RESOURCE, Modality.METRIC, fault_type="cpu")

    assert pool((vague, clear), SCENE, Weights(other=0.9))[0].fault_types == ("cpu", "latency")
    assert pool((vague,), SCENE, Weights(other=0.9))[0].fault_types == ("latency",)


def test_the_strongest_piece_of_a_kind_counts_whatever_its_name() -> None:
    strong, weak = evidence("cart", 0.8, tag="a"), evidence("cart", 0.3, tag="b")
    renamed = evidence("cart", 0.3, tag="a"), evidence("cart", 0.8, tag="b")

    assert pool((strong, weak), SCENE, Weights(other=1.0))[0].suspicion == pytest.approx(0.8)
    assert pool(renamed, SCENE, Weights(other=1.0))[0].suspicion == pytest.approx(0.8)


def test_the_alerting_service_itself_is_on_the_alerts_path() -> None:
    alert = ComponentRef(level=Level.SERVICE, name="cart")
    scene = replace(SCENE, incident=replace(INCIDENT, symptom_component=alert))
    own = evidence("cart", 0.5, Signal.SELF_TIME)

    assert pool((own,), scene, Weights(other=1.0))[0].suspicion == pytest.approx(0.5)


def test_without_strong_evidence_the_team_abstains_and_says_why() -> None:
    verdict = judge(load_lineup("statistical"), SCENE, (Report(modality=Modality.TRACE),))

    assert verdict.abstained
    assert verdict.candidates == ()
    assert verdict.narrative


def test_the_verdict_names_host_pod_service_and_chain_and_cites_evidence_that_exists() -> None:
    found = evidence("db", 0.9, Signal.SELF_TIME, fault_type="cpu")
    verdict = judge(load_lineup("statistical"), SCENE, (Report(modality=Modality.TRACE, evidence=(found,)),))
    first = verdict.candidates[0]

    assert (first.service, first.pod, first.host, first.fault_type) == ("db", "db-0", "node-db", "cpu")
    assert verdict.call_chain is not None
    assert verdict.call_chain.services == ("db", "cart", "web")
    assert set(first.evidence) <= {item.id for item in verdict.evidence}


def test_the_single_agent_believes_the_strongest_finding() -> None:
    loud = evidence("web", 0.9)
    reports = (Report(modality=Modality.TRACE, evidence=(loud, evidence("cart", 0.85))),)

    assert judge(load_lineup("single"), SCENE, reports).candidates[0].service == "web"
    assert judge(load_lineup("statistical"), SCENE, reports).candidates[0].service == "cart"


def test_every_team_that_ships_can_be_loaded() -> None:
    assert {"statistical", "single", "only-log", "without-trace"} <= set(lineup_names())
    assert all(load_lineup(name).specialists for name in lineup_names())


def test_an_unknown_team_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'statistical'"):
        load_lineup("statistica")


def test_descendants_survive_a_cycle() -> None:
    ring = {"a": frozenset({"b"}), "b": frozenset({"a"})}

    assert descendants("a", ring) == frozenset({"b"})


def test_the_chain_follows_the_callers_that_call_most() -> None:
    callers = {"db": {"cart": 90, "ads": 10}, "cart": {"web": 1}, "ads": {"web": 1}}

    assert likeliest_chain("db", callers).services == ("db", "cart", "web")


def test_the_chain_ends_at_the_symptom_where_that_is_known() -> None:
    callers = {"db": {"cart": 90, "ads": 10}, "ads": {"web": 1}, "cart": {"web": 1}}

    assert likeliest_chain("db", callers, symptom="ads").services == ("db", "ads")


def test_a_service_without_callers_is_a_chain_of_its_own() -> None:
    assert likeliest_chain("web", {}).services == ("web",)


def test_the_baseline_never_overlaps_the_stretch_after_the_onset() -> None:
    onset = parse_utc("2026-01-01T00:04:00Z")
    overlapping = TimeWindow.of("2026-01-01T00:02:00Z", "2026-01-01T00:06:00Z")
    incident = Incident(
        id="i", dataset="d", symptom="s", window=WINDOW, asked=(Aspect.SERVICE,), reference=(overlapping,)
    )
    after, baseline = stretches(incident, onset)

    assert after.start == onset
    assert all(window.intersection(after) is None for window in baseline)


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("container_cpu_usage_seconds", "cpu"),
        ("process_resident_memory_bytes", "memory"),
        ("http_request_duration_p95", "latency"),
        ("availability", "availability"),
        ("node_memory_MemAvailable_bytes", "memory_left"),
        ("cpu_idle_percent", "cpu_left"),
        ("fs_available_space", "disk_space"),
        ("disk_busy_percent", "disk_busy"),
        ("system.io.r_s", "disk_io"),
        ("cpu_iowait", "io_wait"),
        ("node_network_receive_errs_total", "retransmission"),
        ("network_receive_packets", "network"),
        ("receive_queue", "network_queue"),
        ("tcp_fin_wait", "network_queue"),
        ("sess_connect", "database"),
        ("app_session_count", "traffic"),
        ("something unheard of", None),
    ],
)
def test_metric_names_tell_what_is_measured(metric: str, kind: str | None) -> None:
    found = kind_of(metric)

    assert (found.name if found else None) == kind


def of_pod(pod: str, strength: float, metric: str = "cpu") -> Evidence:
    return replace(
        evidence("shop", strength, Signal.RESOURCE, Modality.METRIC, fault_type="cpu"),
        id=f"metric:pod:{pod}:{metric}",
        component=ComponentRef(level=Level.POD, name=pod),
    )


@pytest.mark.parametrize(
    ("strengths", "blamed"),
    [
        ((0.8,), "shop-0"),
        ((0.8, 0.7), "shop-0"),
        ((0.8, 0.7, 0.6), None),
        ((0.8, 0.7, 0.3), "shop-0"),
        ((0.8, 0.7, 0.6, 0.8), None),
    ],
)
def test_a_service_is_blamed_where_most_of_its_pods_show_the_same(
    strengths: tuple[float, ...], blamed: str | None
) -> None:
    pods = {f"shop-{number}": Placement(service="shop", pod=f"shop-{number}", host="node") for number in range(4)}
    scene = replace(SCENE, pods=pods)
    items = [of_pod(f"shop-{number}", strength) for number, strength in enumerate(strengths)]

    (suspect,) = pool(items, scene, Weights(other=0.9))

    assert (suspect.place.service, suspect.place.pod) == ("shop", blamed)


def test_only_components_that_are_offered_are_blamed() -> None:
    items = (evidence("web", 0.9, Signal.SELF_TIME), evidence("db", 0.6, Signal.SELF_TIME))
    offered = replace(SCENE, incident=replace(INCIDENT, hints=Hints(components=("cart-0", "db-0"))))
    reports = (Report(modality=Modality.TRACE, evidence=items),)

    assert judge(load_lineup("statistical"), SCENE, reports).ranking(Level.SERVICE) == ("web", "db")
    for team in lineup_names():
        assert judge(load_lineup(team), offered, reports).ranking(Level.SERVICE) == ("db",)


def test_fault_types_are_answered_in_the_words_that_are_offered() -> None:
    reports = (Report(modality=Modality.TRACE, evidence=(evidence("db", 0.6, Signal.SELF_TIME, fault_type="cpu"),)),)
    offered = replace(SCENE, incident=replace(INCIDENT, hints=Hints(fault_types=("disk full", "CPU fault"))))

    assert judge(load_lineup("statistical"), SCENE, reports).candidates[0].fault_type == "cpu"
    assert judge(load_lineup("statistical"), offered, reports).candidates[0].fault_type == "CPU fault"


def test_weak_evidence_is_answered_with_where_it_is_told_that_something_failed() -> None:
    reports = (Report(modality=Modality.TRACE, evidence=(evidence("db", 0.1, Signal.SELF_TIME),)),)
    told = replace(SCENE, incident=replace(INCIDENT, hints=Hints(failures=1)))

    assert judge(load_lineup("statistical"), SCENE, reports).abstained
    assert judge(load_lineup("statistical"), told, reports).ranking(Level.SERVICE) == ("db",)
