
// Hands OpenCode's calls to `gradata hook`: written by `gradata install`, taken out by `gradata uninstall`.
// A hook that fails or is gone changes nothing for the host.
import { spawn } from "node:child_process"

const BEFORE = ["edit", "write", "apply_patch", "read", "bash"]
const AFTER = ["edit", "write", "apply_patch", "bash"]
const SESSIONS_MAX = 200
const recalled = new Map() // by session: OpenCode makes the system prompt anew for each request

function hook(kind, said) {
  if (!KINDS.includes(kind)) return Promise.resolve("")
  return new Promise((resolve) => {
    const output = []
    let child
    try {
      child = spawn(PROGRAM[0], [...PROGRAM.slice(1), "hook", kind, "--entry", ENTRY], {
        stdio: ["pipe", "pipe", "ignore"],
        timeout: TIMEOUT_MS,
      })
    } catch {
      resolve("")
      return
    }
    child.on("error", () => resolve(""))
    child.on("close", () => resolve(Buffer.concat(output).toString("utf8")))
    child.stdout.on("data", (part) => output.push(part))
    child.stdin.on("error", () => {})
    child.stdin.end(JSON.stringify(said))
  })
}

async function recall(said) {
  const answer = await hook("recall", said)
  let text = ""
  try {
    text = JSON.parse(answer).context
  } catch {}
  if (recalled.size >= SESSIONS_MAX) recalled.delete(recalled.keys().next().value)
  recalled.set(said.sessionID, typeof text === "string" && text ? text : (recalled.get(said.sessionID) ?? ""))
}

export const Gradata = async ({ directory }) => {
  const call = (event, input, more) => ({
    hook_event_name: event,
    sessionID: input.sessionID,
    cwd: directory,
    tool: input.tool,
    callID: input.callID,
    ...more,
  })
  return {
    "chat.message": async (input) => {
      await recall(call("chat.message", input))
    },
    "experimental.chat.system.transform": async (input, output) => {
      if (!recalled.has(input.sessionID)) await recall(call("chat.message", input))
      const text = recalled.get(input.sessionID)
      if (text) output.system.push(text)
    },
    "tool.execute.before": async (input, output) => {
      if (BEFORE.includes(input.tool)) await hook("capture", call("tool.execute.before", input, { args: output.args }))
    },
    "tool.execute.after": async (input, output) => {
      if (!AFTER.includes(input.tool)) return
      await hook("capture", call("tool.execute.after", input, { args: input.args, metadata: output.metadata }))
    },
    event: async ({ event }) => {
      if (event.type !== "session.idle") return
      const said = call("session.idle", event.properties)
      await hook("capture", said)
      await hook("session-close", said)
    },
  }
}
