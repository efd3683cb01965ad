local phase = (obj.status or {}).phase
local ended = phase == "Succeeded" or phase == "PartiallySucceeded" or phase == "Failed" or phase == "Canceled"

local actions = {}
actions["cancel"] = {
  ["disabled"] = ended or obj.spec.cancel == true,
  ["displayName"] = "Cancel",
  ["iconClass"] = "fa fa-fw fa-stop",
}
return actions
