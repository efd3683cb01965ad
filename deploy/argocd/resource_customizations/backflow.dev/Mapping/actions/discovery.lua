local function holds(kind)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == kind then
      return c.status == "True"
    end
  end
  return false
end

local suspended = obj.spec.suspend == true

local actions = {}
actions["suspend"] = { ["disabled"] = suspended, ["displayName"] = "Suspend", ["iconClass"] = "fa fa-fw fa-pause" }
actions["resume"] = { ["disabled"] = not suspended, ["displayName"] = "Resume", ["iconClass"] = "fa fa-fw fa-play" }
actions["run-now"] = { ["displayName"] = "Run now", ["iconClass"] = "fa fa-fw fa-bolt" }
actions["full-sync"] = { ["displayName"] = "Send every row again", ["iconClass"] = "fa fa-fw fa-redo" }
-- Approval is for the deletions that were counted, so there is none before they were.
local last = (obj.status or {}).lastSync or {}
actions["approve-deletes"] = {
  ["disabled"] = not (holds("DeletesWithheld") and (last.withheld or 0) > 0),
  ["displayName"] = "Approve withheld deletes",
  ["iconClass"] = "fa fa-fw fa-user-check",
}
return actions
