"""A model on loopback that makes the tool calls of a script, so that a real agent host edits real files.

It speaks the four forms that the hosts use: Anthropic's messages, OpenAI's responses and chat completions, Gemini's
generateContent. Which call is next is read from the request itself: as many results as it holds were asked for. When
the script is over the answer is the text "done". Every request is kept, so a test can see what reached the model.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool. `freeform`: its input is a text, not an object (Codex's apply_patch)."""

    name: str
    arguments: Any
    freeform: bool = False


class Streamed(NamedTuple):
    """Server-sent events: pairs of an event's name (or None) and its data."""

    events: list[tuple[str | None, Any]]


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:20]}"


def _count(found: Iterable[bool]) -> int:
    return sum(1 for each in found if each)


def anthropic(body: Json, script: Sequence[ToolCall]) -> Json | Streamed:
    """POST /v1/messages."""
    contents = [message.get("content") for message in body.get("messages", [])]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    call = _next(script, _count(block.get("type") == "tool_result" for block in blocks), body)
    block: Json
    if call is None:
        block, reason = {"type": "text", "text": "done"}, "end_turn"
    else:
        block, reason = {"type": "tool_use", "id": _id("toolu"), "name": call.name, "input": call.arguments}, "tool_use"
    message = {
        "id": _id("msg"), "type": "message", "role": "assistant", "model": body.get("model", "fake"),
        "content": [block], "stop_reason": reason, "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    if not body.get("stream"):
        return message
    if call is None:
        empty: Json = {**block, "text": ""}
        delta: Json = {"type": "text_delta", "text": "done"}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
    events: list[Json] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    ]  # fmt: skip
    return Streamed([(event["type"], event) for event in events])


def responses(body: Json, script: Sequence[ToolCall]) -> Streamed:
    """POST /v1/responses."""
    said = body.get("input")
    items = said if isinstance(said, list) else []
    call = _next(script, _count(str(item.get("type")).endswith("_output") for item in items), body)
    item: Json
    if call is None:
        text = {"type": "output_text", "text": "done", "annotations": []}
        item = {"type": "message", "id": _id("msg"), "role": "assistant", "content": [text]}
    elif call.freeform:
        item = {
            "type": "custom_tool_call", "id": _id("ctc"), "call_id": _id("call"), "name": call.name,
            "input": call.arguments,
        }  # fmt: skip
    else:
        item = {
            "type": "function_call", "id": _id("fc"), "call_id": _id("call"), "name": call.name,
            "arguments": json.dumps(call.arguments),
        }  # fmt: skip
    item["status"] = "completed"
    usage = {
        "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
    }  # fmt: skip
    answer = {"id": _id("resp"), "object": "response", "status": "completed", "output": [item], "usage": usage}
    events = [
        {"type": "response.created", "response": {"id": answer["id"]}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": answer},
    ]
    return Streamed([(str(event["type"]), event) for event in events])


def chat(body: Json, script: Sequence[ToolCall]) -> Json | Streamed:
    """POST /v1/chat/completions."""
    call = _next(script, _count(message.get("role") == "tool" for message in body.get("messages", [])), body)
    message: Json = {"role": "assistant", "content": "done" if call is None else None}
    if call is not None:
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        message["tool_calls"] = [{"index": 0, "id": _id("call"), "type": "function", "function": function}]
    reason = "stop" if call is None else "tool_calls"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    common = {"id": _id("chatcmpl"), "created": 0, "model": body.get("model", "fake")}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**common, "object": "chat.completion.chunk"}
    return Streamed([
        (None, {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}),
        (None, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}),
        (None, "[DONE]"),
    ])  # fmt: skip


def gemini(body: Json, script: Sequence[ToolCall]) -> Json:
    """POST /v1beta/models/NAME:generateContent; streamed, it is one event."""
    parts = [part for content in body.get("contents", []) for part in content.get("parts", [])]
    call = _next(script, _count("functionResponse" in part for part in parts), body)
    if call is not None:
        part: Json = {"functionCall": {"name": call.name, "args": call.arguments}}
    elif body.get("generationConfig", {}).get("responseMimeType") == "application/json":
        # The host's own questions: which model to take, and who speaks next.
        answers = {"reasoning": "", "complexity_reasoning": "", "complexity_score": 1, "model_choice": "flash"}
        part = {"text": json.dumps({**answers, "next_speaker": "user"})}
    else:
        part = {"text": "done"}
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "fake"}


def _next(script: Sequence[ToolCall], made: int, body: Json) -> ToolCall | None:
    """A request without tools is one of the host's own (a title, a summary): it is answered with a text."""
    return script[made] if body.get("tools") and made < len(script) else None


_FORMS = {
    "/messages": anthropic,
    "/responses": responses,
    "/chat/completions": chat,
    ":generateContent": gemini,
    ":streamGenerateContent": gemini,
}


class FakeModel:
    """The server, on a free port of loopback. A context manager; `script` may be replaced between two sessions."""

    def __init__(self) -> None:
        self.script: Sequence[ToolCall] = ()
        self.requests: list[Json] = []
        """The bodies of the requests that offered tools, in order: what the model was told."""
        outer = self

        class Handler(_Handler):
            model = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def play(self, *calls: ToolCall) -> None:
        """A new session: these calls, and no requests yet."""
        self.script, self.requests = calls, []

    def __enter__(self) -> FakeModel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ClassVar[FakeModel]

    def log_message(self, *_: object) -> None:
        """Nothing: the requests are kept."""

    def do_HEAD(self) -> None:
        self._send(b"", "text/plain")

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        form = next((form for end, form in _FORMS.items() if path.endswith(end)), None)
        if form is None:
            self._json({"input_tokens": 1})  # Anthropic's count_tokens, and whatever a host reports
            return
        body = json.loads(raw)
        if body.get("tools"):
            self.model.requests.append(body)
        answer = form(body, self.model.script)
        if isinstance(answer, Streamed):
            self._stream(answer)
        elif "stream" in path:
            self._stream(Streamed([(None, answer)]))
        else:
            self._json(answer)

    def _json(self, said: Mapping[str, Any]) -> None:
        self._send(json.dumps(said).encode(), "application/json")

    def _stream(self, said: Streamed) -> None:
        lines = [
            (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
            for name, data in said.events
        ]
        self._send("".join(lines).encode(), "text/event-stream")

    def _send(self, raw: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
