"""Which SQL a diagnoser may write: one query over the views of its incident, and functions that only compute.

The query is judged by the tree that DuckDB's own parser makes of it. Everything is refused that is not
listed here, so that what a later DuckDB adds is refused as well. What a query may not do: read a file, a
setting, the clock or a random number; name anything but the views; change anything; recurse; or blow a
few characters up to gigabytes, which the database's memory limit does not see in time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_TABLES = 16
"""How often tables may be named in one query: every mention of a CTE may multiply the plan."""
MOST_GROWTH = 256
"""How many times longer than its input a text or list may become."""
_LONGEST_REPLACEMENT = 16
_COLLECTED = 32
"""Growth that is put down for a function that makes one list or text of many."""

_NODES = frozenset(
    {
        "SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE", "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY",
        "EXPRESSION_LIST", "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
        "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
    }
)  # fmt: skip
_EXPRESSIONS = frozenset(
    {
        "STAR", "COLUMN_REF", "CONSTANT", "FUNCTION", "OPERATOR", "COMPARISON", "CONJUNCTION", "CAST", "CASE",
        "BETWEEN", "SUBQUERY", "WINDOW", "TYPE", "POSITIONAL_REFERENCE",
    }
)  # fmt: skip
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
_SUMMING = frozenset({"||", "concat", "concat_ws", "list_value", "struct_pack", "row", "list_concat"})
_COLLECTING = frozenset({"list", "array_agg", "string_agg", "group_concat", "listagg", "histogram", "string_split"})
_NESTING = frozenset({"list_value", "struct_pack", "row"})
"""What is put into a list doubles when the list becomes a text: every quote in it is escaped."""
_RANKING: Mapping[str, int] = {
    **dict.fromkeys(("max", "min"), 1),
    **dict.fromkeys(("arg_max", "arg_min", "argmax", "argmin", "max_by", "min_by"), 2),
}
"""Usual number of arguments; with one more these return a list of the first so many."""
_JSON_READERS = frozenset({"->>", "json_extract", "json_extract_path_text", "json_extract_string"})
_REPLACING = frozenset({"replace", "regexp_replace"})
_COMPUTING = """
+ - * / // % ** ^ & | ~ << >> ~~ !~~ ~~* !~~* ~~~ ^@ ->> @> <@ &&
like_escape not_like_escape ilike_escape not_ilike_escape
any_value approx_count_distinct arbitrary arg_max arg_min argmax argmin avg bool_and bool_or corr count
count_if count_star countif covar_pop covar_samp entropy favg first fsum kurtosis last mad max max_by mean median
min min_by mode product quantile quantile_cont quantile_disc regr_intercept regr_r2 regr_slope sem skewness stddev
stddev_pop stddev_samp sum var_pop var_samp variance
row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value last_value nth_value
abs add cbrt ceil ceiling divide exp floor fdiv fmod greatest isfinite isinf isnan least ln log log10 log2 mod
multiply pow power round round_even sign sqrt subtract trunc
contains ends_with instr lcase left len length lower ltrim position prefix regexp_extract regexp_full_match
regexp_matches reverse right rtrim split_part starts_with strip_accents strlen strpos substr substring
suffix trim ucase upper hash md5
date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth
dayofweek dayofyear epoch epoch_ms epoch_ns epoch_us hour isodow make_date make_timestamp make_timestamptz
microsecond millisecond minute month second strftime strptime time_bucket timezone to_days to_hours
to_microseconds to_milliseconds to_minutes to_seconds to_timestamp try_strptime week weekday year
array_extract array_length cardinality element_at json_extract json_extract_path_text json_extract_string
list_contains list_distinct list_extract list_sort map_contains map_extract map_keys map_values struct_extract
coalesce if ifnull nullif typeof unnest
"""
FUNCTIONS = _SUMMING | _COLLECTING | _REPLACING | frozenset(_COMPUTING.split())
"""What may be called. None of them knows the hour, and none makes much of little."""
_TYPE_NAMES = """
bool boolean tinyint smallint int int1 int2 int4 int8 integer bigint long hugeint utinyint usmallint uinteger
ubigint float float4 float8 real double decimal numeric varchar text string char bpchar date time interval json
timestamp timestamptz timestamp_s timestamp_ms timestamp_ns timestamp_us datetime uuid
"""
_TYPES = frozenset({*_TYPE_NAMES.split(), "timestamp with time zone"})
_CLOCK_NAMES = """
current_catalog current_database current_date current_role current_schema current_time current_timestamp
current_user localtime localtimestamp session_user today user
"""
_CLOCKS = frozenset(_CLOCK_NAMES.split())
"""What looks like a column and is a function, where no column is called so."""


class Refused(ValueError):
    """What the query may not do, in words for whoever wrote it."""


@dataclass(slots=True)
class _Judge:
    """Walks through a query; counts what adds up over all of it."""

    tables: Collection[str]
    mentions: int = 0
    growth: int = 1
    scopes: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    aliases: list[dict[str, int]] = field(default_factory=list)

    def visit(self, found: Any) -> int:
        """Look at a part of the tree; return how many times longer than its input its value may become."""
        if isinstance(found, list):
            return max((self.visit(item) for item in found), default=1)
        if not isinstance(found, dict):
            return 1
        self._check_kind(found)
        if found.get("type") == "ARRAY_CONSTRUCTOR":
            return 2 * sum(self.visit(item) for item in found.get("children", ()))
        if found.get("type") == "BASE_TABLE":
            self._check_table(found)
        if "cte_map" in found:
            return self._visit_query(found)
        if found.get("class") in ("FUNCTION", "WINDOW"):
            return self._visit_call(found)
        if found.get("class") == "COLUMN_REF":
            return self._named_growth(found)
        if found.get("type") == "TABLE_FUNCTION":
            return self._visit_table_function(found)
        parts = [self.visit(item) for item in found.values()]
        return max(parts, default=1)

    def _check_kind(self, found: Mapping[str, Any]) -> None:
        kind, expression = found.get("type"), found.get("class")
        if expression is not None:
            if expression not in _EXPRESSIONS:
                raise Refused(f"{str(expression).lower()} expressions cannot be used here")
        elif isinstance(kind, str) and kind not in _NODES:
            raise Refused(f"{kind.lower().replace('_', ' ')} cannot be used here")
        if found.get("sample") is not None:
            raise Refused("samples differ from time to time: leave SAMPLE out")
        if found.get("at_clause") is not None:
            raise Refused("AT cannot be used here")
        if expression == "COLUMN_REF" and str(found["column_names"][0]).lower() in _CLOCKS:
            raise Refused(f"{found['column_names'][0]} differs from time to time, or says where this runs")
        if expression == "TYPE" and str(found.get("type_name")).lower() not in _TYPES:
            raise Refused(f"nothing can be cast to {found.get('type_name')}; there are {', '.join(sorted(_TYPES))}")

    def _check_table(self, found: Mapping[str, Any]) -> None:
        path = [str(part) for part in found.get("qualified_name", {}).get("path", ())]
        name = str(found.get("table_name"))
        if found.get("schema_name") or found.get("catalog_name") or len(path) > 1:
            raise Refused(f"{'.'.join(path) or name}: name tables without a schema")
        known = {*self.tables, *self.scopes[-1]}
        if name.lower() not in known:
            raise Refused(f"there is no table {name!r}; there are {', '.join(sorted(known))}")
        self.mentions += 1
        if self.mentions > MOST_TABLES:
            raise Refused(f"tables are named more than {MOST_TABLES} times")

    def _visit_query(self, found: Mapping[str, Any]) -> int:
        """Visit a query: every CTE sees those before it, and the query sees all."""
        scope = self.scopes[-1]
        self.scopes.append(scope)
        for entry in found["cte_map"]["map"]:
            self.visit(entry["value"])
            self.scopes[-1] |= {str(entry["key"]).lower()}
        # A column may be used by its alias in all columns after it, and in every other clause.
        self.aliases.append({})
        growth = max((self._visit_column(item) for item in found.get("select_list", ())), default=1)
        rest = (self.visit(item) for name, item in found.items() if name not in ("cte_map", "select_list"))
        growth = max(growth, *rest)
        self.aliases.pop()
        self.scopes.pop()
        if len(found.get("group_sets") or ()) > 64:
            raise Refused("there are more than 64 grouping sets")
        self._grow(growth)
        return 1

    def _visit_column(self, found: Mapping[str, Any]) -> int:
        growth = self.visit(found)
        if alias := str(found.get("alias") or "").lower():
            self.aliases[-1][alias] = growth
        return growth

    def _named_growth(self, found: Mapping[str, Any]) -> int:
        names = {str(name).lower() for name in found["column_names"]}
        return max((growth for known in self.aliases for name, growth in known.items() if name in names), default=1)

    def _grow(self, growth: int) -> None:
        """Count what everything else may be made of."""
        self.growth *= growth
        if self.growth > MOST_GROWTH:
            raise Refused("texts or lists may become too long: join fewer of them")

    def _visit_call(self, found: Mapping[str, Any]) -> int:
        name = str(found.get("function_name")).lower()
        if found.get("schema") or found.get("catalog") or len(found.get("qualified_name", {}).get("path", ())) > 1:
            raise Refused(f"{name}: name functions without a schema")
        if name not in FUNCTIONS:
            raise Refused(f"the function {name!r} cannot be used here")
        if name in _JSON_READERS:
            _check_path(name, found)
        arguments = [self.visit(item) for item in _arguments(found)]
        rest = max(self.visit(item) for key, item in found.items() if key not in ("arguments", "children"))
        if name in _SUMMING:
            return max(sum(arguments), rest, 1) * (2 if name in _NESTING else 1)
        # Of a list of paths, names or shares, some functions return one value each.
        longest = max(math.prod(arguments), rest)
        if name in _COLLECTING or len(arguments) > _RANKING.get(name, len(arguments)):
            return longest * _COLLECTED
        return longest * _replacement(name, found) if name in _REPLACING else longest

    def _visit_table_function(self, found: Mapping[str, Any]) -> int:
        call = found["function"]
        name = str(call.get("function_name")).lower()
        if name not in _TABLE_FUNCTIONS or call.get("schema") or call.get("catalog"):
            raise Refused(f"the table function {name!r} cannot be used here")
        # Its values are columns, of which the query may make more.
        self._grow(max(self.visit(item) for item in (*_arguments(call), found.get("subquery"))))
        return 1


def check_query(parsed: Mapping[str, Any], tables: Collection[str]) -> None:
    """Check a query.

    Args:
        parsed: what DuckDB's `json_serialize_sql` makes of it.
        tables: the views that it may name.

    Raises:
        Refused: it is none, or it does what it may not.
    """
    if parsed.get("error"):
        message = str(parsed.get("error_message", "")).partition("\n")[0]
        if parsed.get("error_type") == "parser":
            raise Refused(f"it cannot be read: {message}")
        raise Refused("write one SELECT statement (or WITH ... SELECT), and nothing else")
    statements: Sequence[Mapping[str, Any]] = parsed.get("statements", ())
    if len(statements) != 1:
        raise Refused(f"write one statement, not {len(statements)}")
    if statements[0].get("named_param_map"):
        raise Refused("there are no parameters to fill in")
    _Judge(tables=tables).visit(statements[0]["node"])


def is_ordered(parsed: Mapping[str, Any]) -> bool:
    """Whether the query says in which order its rows come."""
    modifiers = parsed["statements"][0]["node"].get("modifiers", ())
    return any(modifier.get("type") == "ORDER_MODIFIER" for modifier in modifiers)


def _arguments(call: Mapping[str, Any]) -> list[Any]:
    return [*call.get("arguments", ()), *call.get("children", ())]


def _check_path(name: str, call: Mapping[str, Any]) -> None:
    """Refuse paths that lead to many places: the parts of nested JSON together are far longer than the whole."""
    for argument in _arguments(call)[1:]:
        path = _constant(argument)
        if path is None or "*" in path:
            raise Refused(f"{name}: write the path as one text or number, without '*'")


def _constant(argument: Mapping[str, Any]) -> str | None:
    """Return what is written where an argument is; None where it has to be computed."""
    written = argument.get("expression", argument)
    text = written.get("literal", {}).get("text") if written.get("class") == "CONSTANT" else None
    return text if isinstance(text, str) else None


def _replacement(name: str, call: Mapping[str, Any]) -> int:
    """Return how many times longer a replacement may make a text: a match may be empty."""
    arguments = _arguments(call)
    text = _constant(arguments[2]) if len(arguments) > 2 else None
    if text is None or len(text) > _LONGEST_REPLACEMENT:
        raise Refused(f"{name}: replace by a text of {_LONGEST_REPLACEMENT} characters at most")
    return len(text) + 1
