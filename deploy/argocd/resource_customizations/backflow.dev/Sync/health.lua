-- A Sync is one run: it ends, and its end is final. A Sync in Git (as a hook, or in a wave) holds up what follows until
-- it has succeeded.
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

-- The end comes first: nothing reconciles a Sync that has ended, so that its observedGeneration may stay behind.
local phase = (obj.status or {}).phase
local succeeded = condition("Succeeded")
local message = phase
if succeeded ~= nil then
  message = said(succeeded)
elseif phase ~= nil and obj.status.reason ~= nil then
  message = obj.status.reason
end
if phase == "Succeeded" then
  return { status = "Healthy", message = message }
end
if phase == "Failed" or phase == "PartiallySucceeded" or phase == "Canceled" then
  return { status = "Degraded", message = message }
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
if phase == "Queued" and obj.status.queuedBehind ~= nil then
  return { status = "Progressing", message = "Queued behind " .. obj.status.queuedBehind }
end
return { status = "Progressing", message = phase or "waiting for the controller" }
