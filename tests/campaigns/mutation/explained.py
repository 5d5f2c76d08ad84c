"""Changes that no test can object to, each with the reason. The table of survivors is made from this.

A rule names the target, a pattern for the function, and patterns for what was there and what came instead. It must
stay narrow: a rule that would also excuse a change that can be noticed is a hole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """Excuses changes of `old` into `new` (expressions, searched) in `function` (whole name) of `target`."""

    target: str
    function: str
    old: str
    new: str
    why: str


RULES: tuple[Rule, ...] = (
    Rule(
        ".*",
        ".*",
        r"zip\(.*strict=(True|False)\)",
        r"zip\(.*(strict=(None|True|False)|, )\)",
        "strict= of zip is an assertion on a programmer's mistake; both sides are of one length by construction, or one"
        " is meant to be longer",
    ),
    Rule(".*", ".*", r"\"utf-8\"", r"\"UTF-8\"", "Python knows one codec by both names"),
    Rule(
        "events",
        "canonical|line_of",
        "(ensure_ascii|allow_nan)=False",
        "(ensure_ascii|allow_nan)=None",
        "json.dumps asks only whether it is true, and None is no more true than False",
    ),
    Rule("framing", "_too_deep", "in_string = False", "in_string = None", "both are no, and `not` makes True of both"),
    Rule(
        "correction",
        "_common",
        r"high \+ 1\) // 2",
        r"high \+ 2\) // 2",
        "another middle: every place between low, which it excludes, and high ends the bisection at the same length",
    ),
    Rule(
        "correction",
        "_indel",
        "<= SHORT_PAIRS_MAX",
        r"(< SHORT|\) / len)",
        "which of two ways computes it: both give the same number, as a test shows on either side of the bound",
    ),
    Rule("correction", "_tone", "shift > 0", "shift >= 0", "a shift of 0 returned two lines above"),
    Rule(
        "correction",
        "distance",
        "if not cut or not added",
        "if not cut and not added",
        "a short cut for texts that only grew or shrank: the general way counts the same characters",
    ),
    Rule(
        "ingest",
        "_all_new",
        r"len\(fresh\) < len|default=0\) > record_bytes",
        r"len\(fresh\) <= len|default=(0\) >=|1\) >) record_bytes",
        "a short cut that is not taken: the general way counts and names the same",
    ),
    Rule(
        "ingest", "_all_new", "cast\\(", "cast\\(", "cast is a word for the type checker, and gives back its argument"
    ),
    Rule(
        "ingest",
        "_append",
        "if overlap else",
        "or True",
        "a short cut: where nothing overlaps no row is below the head, and none is found",
    ),
    Rule(
        "ingest",
        "_misfit",
        "if overlap else 0",
        "or True else 0",
        "a short cut: where nothing overlaps the lengths of nothing are summed up",
    ),
    Rule(
        "ingest",
        "_next",
        "length > record_bytes",
        "length >= record_bytes",
        "a short cut that is not taken: the general way counts and keeps the same",
    ),
    Rule(
        "ingest",
        "_to_mend",
        "if wrong else",
        "or True",
        "a short cut: where nothing is wrong no row is picked",
    ),
    Rule(
        "ingest",
        "plan",
        r"get\(request\.brain_id, NOTHING_BARRED\)",
        r"get\(request\.brain_id, (None)?\)",
        "None bars as little as bars of nothing: no place is withheld, and the bars are not asked again",
    ),
    Rule(
        "tiles",
        "tail_parts",
        r"if len\(leaves\) < len\(parts\) else \[\]",
        r"(or True|len\(leaves\) <= len\(parts\)) else \[\]",
        "a short cut: where all are leaves no part is of a higher level, and none is picked",
    ),
    Rule(
        "tiles",
        "tile_parts",
        r"in range\(1, TILE_HEIGHT \+ 1\)",
        r"in range\((2, TILE_HEIGHT \+|1, TILE_HEIGHT -) 1\)",
        "a short cut that is not taken: the general way makes the same part",
    ),
    Rule(
        "tiles",
        "tail_parts",
        r"end = first \+ len\(pending\) // HASH_BYTES",
        r"end = first \+ len\(pending\) / HASH_BYTES",
        "whole hashes are counted: the number is the same, as a float",
    ),
    Rule("wire", "_lowered", '"ratelimit-policy", ""', '"XXXX"', "neither holds a quota: no policy at all"),
    Rule(
        "wire",
        "_member",
        r"case Limits\(\)",
        "^ *$",
        "orjson writes a dataclass of plain fields as just this object; the line says that it is meant",
    ),
    Rule(
        "wire",
        r"_Answer\.of",
        '"content-encoding", "identity"',
        '"IDENTITY"',
        "the name of a coding is put into lower case before it is looked at",
    ),
    Rule(
        "wire",
        r"_Answer\.of",
        'b"" if encoded or',
        'b"XXXX" if encoded or',
        "neither is JSON: what may not be read is told in the same words",
    ),
    Rule("wire", "logs_request", r", ''\)", r", 'XXXX'\)", "an X is a letter, and never quoted"),
    Rule(
        "wire",
        "_target",
        r'"location", ""|host = None',
        r'"location", (None|"XXXX")?\)|host = ""',
        "an address without a host, none at all, and an empty one are all of no host",
    ),
    Rule(
        "wire",
        "_failure",
        "case _: pass",
        "^ *$",
        "it is there for the type checker: what is not matched goes on anyway",
    ),
    Rule("wire", "_failure", "if 200 <= status", "if 20(0 <|1 <=) status", "a 200 was read before, and is no failure"),
    Rule(
        "framing",
        "_too_deep",
        r'mark\[0\] == "\\\\"',
        r'mark\[0\] == "XX\\\\XX"',
        "a backslash outside of a string is no JSON at all: the answer is not_json however deep it is",
    ),
    Rule(
        "framing",
        "_too_deep",
        r'mark in "\[\{"',
        r'mark in "XX\[\{XX"',
        "a mark is one of four brackets, and the added letters are none",
    ),
    Rule(
        "framing",
        "_too_deep",
        "<= ODD_DEPTH_MAX",
        "< ODD_DEPTH_MAX",
        "a short cut: with just so many brackets the loop finds that none is too deep",
    ),
    Rule(
        "framing",
        "reach",
        r"data\.rfind\(",
        r"data\.find\(",
        "the same place, reached record by record: only slower (benchmarks/backfill.py measures that)",
    ),
    Rule(
        "progress",
        "_row",
        "assert_never",
        "",
        "never reached: the type checker proves that all outcomes have their row",
    ),
    Rule(
        "progress",
        "_row|saved",
        r"(saved|_reset)\((p|replace\(p, saving=saving\)), (action, )?reset, now\)",
        r"reset, None\)",
        "now is used for confirmed orders to a stopped client alone, and that has a test by each way",
    ),
    Rule(
        "progress",
        "compared",
        r"there\.size (>|<) p\.cursor\.size",
        r"there\.size (>=|<=) p\.cursor\.size",
        "a head of our own size was answered two lines above",
    ),
    Rule(
        "progress",
        "compared|nothing|read_failed",
        "load=None",
        r"^(?!.*load=None).*$",
        "nothing is read while something waits to be sent or compared: there is no load here",
    ),
    Rule(
        "progress",
        "saved",
        "reset_id=0 if p.saving.reset_id == action.reset_id",
        "or True",
        "one thing is done at a time: the order in the action is the one in progress",
    ),
    Rule(
        "progress",
        "found",
        "caught_up=False",
        "log_trouble=None|caught_up=None",
        "who is caught up does not read: it is False already, and None is no more true than that",
    ),
    Rule(
        "progress",
        ".*",
        "caught_up=False|heartbeat_answered=False",
        "caught_up=None|heartbeat_answered=None",
        "None is no more true than False",
    ),
    Rule("progress", "_reset", r"compare=\(\)", "compare=None", "None is as empty as ()"),
    Rule(
        "progress",
        "new_generation",
        r"compare=\(\)",
        r"compare=None|generations_in_a_row=count, caught_up",
        "a log is read, and a head found to be foreign, only when nothing is left to compare: it is empty already",
    ),
    Rule(
        "progress",
        "nothing",
        "if p.standing is not None else None",
        "or True",
        "a log is read from a cursor: there is a standing",
    ),
    Rule(
        "progress",
        "_letters",
        r"Refusal\(load\.first",
        r"Refusal\(None",
        "only code and detail of it are used: the number is that of the place",
    ),
    Rule(
        "progress",
        "pause",
        r"min\(again, 16\)",
        r"min\(again, 17\)",
        "the wait is a minute at most from the fifth time on; the bound keeps the power from growing for ever",
    ),
    Rule(
        "pacing",
        r"Budget\.spent",
        r"slot\.last \+ WINDOW_S > now",
        r"slot\.last \+ WINDOW_S >= now",
        "an entry kept at the very end of its minute adds one to what was sent and one to what may be taken again:"
        " ready_at is the same",
    ),
)


def why(target: str, function: str, old: str, new: str) -> str | None:
    """The reason why nobody can notice this change; None: there is none."""
    for rule in RULES:
        if (
            re.fullmatch(rule.target, target)
            and re.fullmatch(rule.function, function)
            and re.search(rule.old, old)
            and re.search(rule.new, new)
        ):
            return rule.why
    return None
