-- Health as kstatus and Flux read it. Stalled is a wrong manifest; Ready=False is a world that is not as the manifest
-- says, and the controller tries again by itself.
local function condition(kind)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return nil
end

local function said(c)
  if c.message == nil or c.message == "" then
    return c.reason or c.type
  end
  return (c.reason or c.type) .. ": " .. c.message
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "being deleted" }
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the controller" }
end

local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = said(stalled) }
end
local reconciling = condition("Reconciling")
if reconciling ~= nil and reconciling.status == "True" then
  return { status = "Progressing", message = said(reconciling) }
end

local ready = condition("Ready")
if ready == nil or ready.status == "Unknown" then
  return { status = "Progressing", message = "waiting for the controller" }
end
if ready.status == "False" then
  -- What it refers to is absent or not ready: that object says what is wrong, and the order of a sync does not matter.
  local waits = {
    SourceNotFound = true, SourceNotReady = true,
    ModelNotFound = true, ModelNotReady = true,
    DestinationNotFound = true, DestinationNotReady = true,
    UnknownDestinationType = true, DefinitionNotReady = true,
    MappingNotFound = true, MappingNotReady = true,
  }
  if waits[ready.reason] then
    return { status = "Progressing", message = said(ready) }
  end
  return { status = "Degraded", message = said(ready) }
end

-- Healthy although suspended: Argo CD never ends a sync wave with a Suspended resource in it.
if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Healthy", message = "Suspended: no new Sync starts" }
end

-- Ready says that the Mapping is accepted and scheduled. How its data fares is told, but does not fail a deployment.
local withheld = condition("DeletesWithheld")
if withheld ~= nil and withheld.status == "True" then
  return { status = "Healthy", message = said(withheld) }
end
for _, kind in ipairs({ "LastSyncSucceeded", "Healthy" }) do
  local outcome = condition(kind)
  if outcome ~= nil and outcome.status == "False" then
    return { status = "Healthy", message = said(outcome) }
  end
end
return { status = "Healthy", message = said(ready) }
