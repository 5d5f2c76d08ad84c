"""The forms that secrets have: what is looked for, by which literals, and what is accepted.

Pure values and predicates. Each expression gives back a bounded number of characters only, and either is short where
it fails or cannot begin again inside what it read: so trying it everywhere is linear. The kinds of the published SDK
keep its names, and each form takes at least what it takes there, but for ten digits in a row, which are a telephone
number only behind a word that says so, and for card numbers whose check digit is wrong. Partners: `redaction`, which
applies them; `card_numbers`, for what no expression can check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Accepted = Callable[[re.Match[str]], bool]


@dataclass(frozen=True, slots=True)
class SecretForm:
    """One form of a secret.

    literals: a text without any of them does not hold it.
    pattern: a verbose expression. Its group `secret`, if it has one, narrows what is replaced.
    accepted: which matches count; None: all.
    needs: a cheaper expression that every match contains.
    """

    kind: str
    literals: tuple[str, ...]
    pattern: str
    accepted: Accepted | None = None
    needs: str = ""


# ---------------------------------------------------------------- which matches count

_RUN = re.compile(r"[A-Za-z0-9]{16}")
_BODY = re.compile(r"[A-Za-z0-9+/]{16}")
_TEMPLATE = re.compile(r"\$\w+|\$[{(].*|\{.*\}|\[.*\]|%\w*%|%\(\w+\)s|%s|[*xX.]+")


def _is_international(match: re.Match[str]) -> bool:
    """At most 15 digits (ITU-T E.164), at least the 9 of small countries; those of North America have 11."""
    digits = len(match[0].encode().translate(None, b"+ -()"))
    return digits == 11 if match[0][1] == "1" else 9 <= digits <= 15


def _is_openai(match: re.Match[str]) -> bool:
    """`sk-` begins names of CSS classes, too; these have no long run of letters and digits."""
    return match["mark"] is not None or _RUN.search(match[0]) is not None


def _is_private_key(match: re.Match[str]) -> bool:
    """Not the two marks alone, as documents quote them."""
    return match["body"] is None or _BODY.search(match["body"]) is not None


def _is_password(match: re.Match[str]) -> bool:
    """Not what stands in its place in code and documents: `{password}`, `$PASSWORD`, `%s`, `***`."""
    return _TEMPLATE.fullmatch(match["secret"]) is None


# ---------------------------------------------------------------- keys and tokens

_KEY = "[A-Za-z0-9_-]"
_WORD = "[A-Za-z0-9]"
# Not inside a word; the `n` of an escaped newline, as JSON within a text has it, is no word.
_EDGE = r"(?: (?<! [A-Za-z0-9] ) | (?<= \\[nrt] ) )"
# The same behind the first character of a form, so that the search can begin with that character, which is faster.
EDGE_BEHIND_ONE = r"(?: (?<! [A-Za-z0-9.]. ) | (?<= \\[nrt]. ) )"
# Where a hyphen before would make it part of something longer; the hyphen of a removed line in a patch does not.
_NO_HYPHEN_BEHIND_ONE = r"(?<! [A-Za-z0-9_.-]. ) | (?<= \\[nrt]. ) | (?<= ^-. ) | (?<= \\n-. )"

_PRIVATE_KEY = r"(?: [A-Z0-9]{1,20}[ ] ){0,3} PRIVATE[ ]KEY (?: [ ]BLOCK )? -----"
_AWS_NAMES = r"""(?: [Ss]ecret[ _-]?[Aa]ccess[ _-]?[Kk]ey | SECRET_ACCESS_KEY | [Ss]ession[_-]?[Tt]oken | SESSION_TOKEN
    | aws_?[Ss]ecret(?: _?[Kk]ey )? | AWS_SECRET(?: _KEY )? )"""
_GITLAB_MARKS = ("pat", "ptt", "dt", "rt", "rtr", "cbt", "ft", "soat", "imt", "agent", "ffct", "oas")

PREFIXED = (
    # To the end mark. Where that is cut off, as far as it looks like a key.
    SecretForm(
        "PRIVATE_KEY",
        ("PRIVATE KEY",),
        rf"""-----BEGIN[ ]{_PRIVATE_KEY} (?: (?P<body> (?: [^-]++ | -(?!----) )*+ ) -----END[ ]{_PRIVATE_KEY}
        | (?: [^A-Za-z0-9+/-]{{0,20}} [A-Za-z0-9+/=]{{16,}}+ )++ )""",
        _is_private_key,
    ),
    SecretForm(
        "JWT",
        ("eyJ",),
        rf"""(?: (?<! {_KEY} ) | (?<= \\[nrt] ) | (?<= ^- ) | (?<= \\n- ) | (?<= %[0-9A-F]{{2}} ) ) eyJ{_KEY}{{8,}}+
        (?: \.{_KEY}{{4,}}+ (?: \.{_KEY}*+ ){{1,3}}+ | \.\.{_KEY}{{4,}}+ (?: \.{_KEY}++ ){{2}} )""",
    ),
    SecretForm("ANTHROPIC_KEY", ("sk-ant-",), rf"sk-ant-{_KEY}{{16,}}+"),
    SecretForm(
        "OPENAI_KEY",
        ("sk-",),
        rf"""sk-(?: (?<! {_WORD}sk- ) | (?<= \\[nrt]sk- ) )
        (?P<mark> (?: proj|svcacct|admin|None|or-v1 )- )?+ {_KEY}{{20,}}+""",
        _is_openai,
    ),
    SecretForm("GITHUB_TOKEN", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"gh[oprsu]_{_WORD}{{20,}}+"),
    SecretForm("GITHUB_TOKEN", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}+"),
    SecretForm(
        "GITLAB_TOKEN",
        tuple(f"gl{mark}-" for mark in _GITLAB_MARKS),
        rf"gl(?: {'|'.join(_GITLAB_MARKS)} )-{_KEY}{{20,}}+ (?: \.{_KEY}{{2,}}+ ){{0,2}}+",
    ),
    SecretForm("SLACK_TOKEN", ("xox",), r"xox[a-z](?: \.xox[a-z] )?-[A-Za-z0-9-]{10,}+"),
    SecretForm("SLACK_TOKEN", ("xapp-",), r"xapp-[A-Za-z0-9-]{10,}+"),
    SecretForm(
        "SLACK_TOKEN",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?P<secret> (?: services|workflows|triggers )/[A-Za-z0-9_/+-]{20,}+ )",
    ),
    SecretForm(
        "AWS_KEY",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        r"A(?<! [A-Z0-9]A )(?: KI|SI|BI|CC )A[A-Z0-9]{16} (?! [A-Z0-9] )",
    ),
    SecretForm(
        "AWS_KEY",
        ("ccess_key", "ccess-key", "ccess key", "ccessKey", "ccess Key", "CCESS_KEY", "ession_token", "ession-token",
         "essionToken", "ESSION_TOKEN", "aws_secret", "awsSecret", "AWS_SECRET"),
        rf"""{_AWS_NAMES} [^A-Za-z0-9/+]{{1,12}} (?P<secret> [A-Za-z0-9/+]{{40,}}+ ={{0,2}} )""",
    ),
    SecretForm("GOOGLE_KEY", ("AIza",), rf"AIza{_KEY}{{30,}}+"),
    SecretForm("GOOGLE_KEY", ("ya29.",), r"ya29\.[A-Za-z0-9_.-]{20,}+"),
    SecretForm("GOOGLE_KEY", ("GOCSPX-",), rf"GOCSPX-{_KEY}{{20,}}+"),
    SecretForm("STRIPE_KEY", ("k_live_", "k_test_"), rf"[rs]k_(?: live|test )_{_WORD}{{10,}}+"),
    SecretForm("STRIPE_KEY", ("whsec_",), r"whsec_[A-Za-z0-9+/]{20,}+ ={0,2}"),
    SecretForm("HUGGINGFACE_TOKEN", ("hf_",), rf"hf_{_WORD}{{30,}}+"),
    SecretForm("HUGGINGFACE_TOKEN", ("api_org_",), rf"api_org_{_WORD}{{30,}}+"),
    SecretForm("NPM_TOKEN", ("npm_",), rf"npm_{_WORD}{{30,}}+"),
    SecretForm("PYPI_TOKEN", ("pypi-",), rf"pypi-(?: AgE{_KEY}{{16,}}+ | {_KEY}{{85,}}+ )"),
    SecretForm("GRADATA_KEY", ("_live_", "_test_"), rf"(?: gk|gdk|gd )_(?: live|test )_{_KEY}{{8,}}+"),
    SecretForm("URL_PASSWORD", ("://",), r"""://[^\s/:@"'<>]*+:(?P<secret> [^\s/"'<>]+ )@""", _is_password),
)  # fmt: skip

# ---------------------------------------------------------------- numbers of people

_NORTH_AMERICA_EDGE = rf"(?: {_NO_HYPHEN_BEHIND_ONE} | (?<= \b1[ .-]. ) )"
_NORTH_AMERICA_END = r"(?! [A-Za-z0-9_-] | \.[0-9] )"

NUMERIC = (
    SecretForm(
        "SSN",
        ("-",),
        rf"[0-9](?: {_NO_HYPHEN_BEHIND_ONE} )[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}} (?! [A-Za-z0-9_-] )",
    ),
    SecretForm(
        "PHONE",
        ("+",),
        rf"""\+{EDGE_BEHIND_ONE} (?: [1-9][0-9]{{8,12}} (?! [A-Za-z0-9_.] )
        | [1-9][0-9]{{0,2}} (?: [ -]?\([0-9]{{1,5}}\) | [ -][0-9]{{1,5}} ) (?: [ -]?[0-9]{{1,5}} ){{1,5}}+
        (?! [A-Za-z0-9_] ) )""",
        _is_international,
    ),
    SecretForm("PHONE", ("(",), rf"\([0-9]{{3}}\)[ ]?[0-9]{{3}}[ .-][0-9]{{4}} {_NORTH_AMERICA_END}"),
    SecretForm(
        "PHONE",
        ("-", ".", " "),
        rf"""[0-9]{_NORTH_AMERICA_EDGE} (?: [0-9]{{2}}-[0-9]{{3}}-[0-9]{{4}}
        | (?<= [2-9] )[0-9]{{2}}\.[0-9]{{3}}\.[0-9]{{4}}
        | (?<= [2-9] )(?<! [02-9][ ]. )[0-9]{{2}}[ ][2-9][0-9]{{2}}[ ][0-9]{{4}} (?! [ ][0-9] ) )
        {_NORTH_AMERICA_END}""",
    ),
    # Ten digits in a row, behind a word that says what they are and at most three short ones.
    SecretForm(
        "PHONE",
        ("hone", "HONE", "obile", "OBILE", "ell", "ELL", "el", "EL", "ax", "AX", "all", "ALL", "hatsapp", "hatsApp"),
        rf"""(?: [Pp]hone|PHONE|[Mm]obile|MOBILE|[Ww]hats[Aa]pp
        | (?: \b | (?<= \\[nrt] ) )(?: [Cc]ell|CELL|[Tt]el|TEL|[Ff]ax|FAX|[Cc]all|CALL ) )
        (?: _?[Nn](?: umber|o|r ) )? (?: [^A-Za-z0-9_]{{1,4}}+ [A-Za-z]{{1,6}}+ ){{0,3}}+ [^A-Za-z0-9_]{{0,4}}+
        (?P<secret> [2-9][0-9]{{2}}[2-9][0-9]{{6}} ) {_NORTH_AMERICA_END}""",
        needs="[2-9][0-9]{9}",
    ),
)  # fmt: skip

# An address from its @ on. The last label is letters, so that `react@18.2.0` stays.
HOST = re.compile(r"@(?:[\w\-]{1,63}+\.){1,8}(?:xn--[\w\-]{1,59}+|[^\W\d_]{2,63}+)")
MAILBOX = re.compile(r"[\w.%+\-']++")
"""What stands before it, in the text or in the text reversed."""
