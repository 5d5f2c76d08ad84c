"""What one host must show, step by step in one home, from the first start to the start after uninstalling."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.campaigns.hosts.fake_model import FakeModel
from tests.campaigns.hosts.programs import Hermes, HostProgram, OpenCode
from tests.campaigns.hosts.world import AGENTS_TEXT, NOTE, PERSONS_TEXT, SECOND, HostWorld

CLOUD_S = 5.0


class HostStep(NamedTuple):
    """One row of the result. `held` None: it does not apply to this host."""

    name: str
    held: bool | None
    detail: str = ""


def story(program: HostProgram, world: HostWorld) -> Iterator[HostStep]:
    """All steps of one host; the ones behind a failed one run all the same."""
    with FakeModel() as model:
        program.configure(world, model.port)
        yield starts("starts before", program, world, model)
        before = files_of(world)
        yield from installs(program, world)
        yield from edits(program, world, model)
        yield from a_person_edits(program, world, model)
        yield from captures_all(program, world, model)
        yield uninstalls(program, world, before)
        yield starts("starts after uninstalling", program, world, model)


def starts(name: str, program: HostProgram, world: HostWorld, model: FakeModel) -> HostStep:
    """One prompt reaches the model, and the host ends well."""
    model.play()
    began = time.monotonic()
    done = program.session(world, model.port)
    held = done.returncode == 0 and len(model.requests) >= 1
    why = "" if held else f": {(done.stderr or done.stdout).strip()[-200:]}"
    return HostStep(name, held, f"exit {done.returncode}, {time.monotonic() - began:.0f} s{why}")


def installs(program: HostProgram, world: HostWorld) -> Iterator[HostStep]:
    """`gradata install`, a person's trust where the host wants it, and what doctor says of both."""
    done = world.gradata("install", "--agent", program.agent, "--yes")
    yield HostStep("install", done.returncode == 0, done.stderr.strip().splitlines()[-1] if done.stderr else "")
    status, detail = world.check(program.agent)
    waits = type(program).trust is not HostProgram.trust
    yield HostStep("doctor tells that trust is missing", "not trusted yet" in detail if waits else None, status)
    program.trust(world)
    status, detail = world.check(program.agent)
    yield HostStep("doctor after that", status == "ok", detail)
    if not program.lists:
        yield HostStep("lists our hooks", None)
        return
    yield HostStep("lists our hooks", (count := program.listed(world)) >= 4, f"{count}")


def edits(program: HostProgram, world: HostWorld, model: FakeModel) -> Iterator[HostStep]:
    """The model reads, edits, fails to edit, patches, writes and runs a command: none is a person's correction."""
    calls = program.calls(world)
    model.play(*calls.values())
    done = program.session(world, model.port)
    made = AGENTS_TEXT in world.note.read_text() and len(model.requests) > len(calls)
    yield HostStep(f"edits ({', '.join(calls)})", done.returncode == 0 and made, f"exit {done.returncode}")
    found = world.corrections()
    yield HostStep("no edit of the agent is recorded", not found, f"{len(found)} recorded")
    status, detail = world.check(program.agent)
    yield HostStep("hooks ran and understood all", status == "ok" and "last fired never" not in detail, detail)


def a_person_edits(program: HostProgram, world: HostWorld, model: FakeModel) -> Iterator[HostStep]:
    """What a person changed meanwhile is recorded once at the next prompt, and recalled in the next session."""
    text = world.note.read_text()
    line = next(line for line in text.splitlines() if line.startswith(AGENTS_TEXT))
    world.note.write_text(text.replace(line, PERSONS_TEXT))
    model.play()
    program.session(world, model.port)
    found = world.corrections()
    right = [each for each in found if line in each["draft_text"] and PERSONS_TEXT in each["final_text"]]
    yield HostStep("a person's edit is recorded once", len(found) == len(right) == 1, f"{len(found)} recorded")
    taken = world.in_cloud(1, CLOUD_S)
    yield HostStep("it is in the cloud", taken is not None, "" if taken is None else f"{taken:.1f} s after the turn")
    model.play()
    program.session(world, model.port)
    first = json.dumps(model.requests[0]) if model.requests else ""
    yield HostStep("recall stands in the first request", PERSONS_TEXT in first, f"{len(model.requests)} requests")
    status, detail = world.check(program.agent)
    yield HostStep("doctor names capture and recall", status == "ok" and detail.count("never") == 0, detail)


def captures_all(program: HostProgram, world: HostWorld, model: FakeModel) -> Iterator[HostStep]:
    """With `capture = "all"` each edit of the agent is recorded once, a failing one never."""
    before = len(world.corrections())
    for file, text in ((world.note, NOTE), (world.second, SECOND)):
        file.write_text(text)
    (world.project / "new.txt").unlink()  # the patch adds it again
    calls = program.calls(world)
    model.play(*(calls[name] for name in ("read", "edit", "failing", "patch") if name in calls))
    world.environ["GRADATA_CAPTURE"] = "all"
    program.session(world, model.port)
    del world.environ["GRADATA_CAPTURE"]
    found = [each for each in world.corrections()[before:] if each.get("source_kind") == "agent_edit"]
    finals = [each["final_text"].strip() for each in found]
    wanted = [AGENTS_TEXT, *([f"{AGENTS_TEXT} Really.", "two and a half"] if "patch" in calls else [])]
    right = len(finals) == len(wanted) and all(text in final for text, final in zip(wanted, finals, strict=True))
    yield HostStep('capture = "all": each edit once', right, f"{len(finals)} of {len(wanted)}")


def uninstalls(program: HostProgram, world: HostWorld, before: dict[Path, bytes]) -> HostStep:
    """The user's files have their bytes again, and nothing of ours is left in the host's folders."""
    accepted = world.home / ".codex" / "config.toml"
    if accepted in before:
        before = {**before, accepted: accepted.read_bytes()}  # what a person accepted stays
    done = world.gradata("uninstall", "--agent", program.agent, "--yes")
    after = files_of(world)
    changed = [path.name for path, content in before.items() if after.get(path) != content]
    ours = [path.name for path, content in after.items() if b"gradata hook" in content or b"gradata:" in content]
    held = done.returncode == 0 and not changed and not [name for name in ours if name != accepted.name]
    return HostStep("uninstall gives the bytes of before", held, f"changed: {changed}" if changed else "")


def moved_home(program: HostProgram, world: HostWorld) -> Iterator[HostStep]:
    """The host's home is where its variable says; doctor finds the hooks without the variable, too."""
    with FakeModel() as model:
        program.configure(world, model.port)
        program.move(world)
        variable = program.moves.variable
        done = world.gradata("install", "--agent", program.agent, "--yes")
        yield HostStep(f"install with {variable}", done.returncode == 0)
        program.trust(world)
        model.play(program.calls(world)["edit"])
        done = program.session(world, model.port)
        yield HostStep("a session", done.returncode == 0, f"exit {done.returncode}")
        fired = "last fired never" not in world.check(program.agent)[1]
        yield HostStep("hooks ran", fired)
        del world.environ[variable]
        status, detail = world.check(program.agent)
        yield HostStep("doctor without the variable", status == "ok", detail)
        done = world.gradata("uninstall", "--agent", program.agent, "--yes")
        yield HostStep("uninstall without the variable", done.returncode == 0 and "changed:" in done.stderr)


def profile(program: Hermes, world: HostWorld) -> Iterator[HostStep]:
    """A profile's own file has the hooks, and they run there."""
    with FakeModel() as model:
        program.configure(world, model.port)
        done = program.call(world, ["profile", "create", "worker", "--clone"])
        yield HostStep("profile create", done.returncode == 0, (done.stdout + done.stderr).strip()[-80:])
        done = world.gradata("install", "--agent", "hermes", "--yes")
        yield HostStep("install", done.returncode == 0 and done.stderr.count("hermes: changed:") == 2)
        yield HostStep("hooks wait for consent there", "config.yaml wait" in world.check("hermes")[1])
        model.play()
        done = program.call(world, ["-p", "worker", "--accept-hooks", "chat", "-q", "hello"])
        yield HostStep("a session in the profile", done.returncode == 0, f"exit {done.returncode}")
        yield HostStep("hooks ran", "last fired never" not in world.check("hermes")[1])


CONFIGURATIONS = (
    ".claude/settings.json", ".codex/config.toml", ".codex/hooks.json", ".gemini/settings.json", ".hermes/config.yaml",
    ".config/opencode/opencode.json",
)  # fmt: skip


def files_of(world: HostWorld) -> dict[Path, bytes]:
    """The hosts' configurations and plugins, as they are."""
    plugins = (world.home / ".config" / "opencode" / "plugins").glob("*")
    paths = [*(world.home / name for name in CONFIGURATIONS), *plugins]
    return {path: path.read_bytes() for path in paths if path.exists()}


def older_opencode(program: OpenCode, world: HostWorld) -> Iterator[HostStep]:
    """One version: what an earlier release wrote stopped some; after installing and uninstalling it starts."""
    config = world.home / ".config" / "opencode" / "config.json"
    with FakeModel() as model:
        program.configure(world, model.port)
        command = f"gradata hook capture --entry gradata:opencode:{world.home}/.gradata/brain"
        config.write_text(json.dumps({"hooks": {"postTool": [{"command": command}]}}))
        started = program.call(world, ["debug", "config"]).returncode == 0
        yield HostStep("starts with a `hooks` key", None, "yes" if started else "no")
        done = world.gradata("install", "--agent", "opencode", "--yes")
        yield HostStep("install", done.returncode == 0)
        yield starts("starts after installing", program, world, model)
        fired = "last fired never" not in world.check("opencode")[1]
        yield HostStep("the plugin ran", fired)
        done = world.gradata("uninstall", "--agent", "opencode", "--yes")
        yield HostStep("uninstall", done.returncode == 0)
        yield starts("starts after uninstalling", program, world, model)
