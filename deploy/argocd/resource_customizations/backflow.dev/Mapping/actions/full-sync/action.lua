local os = require("os")

-- Seconds since 1970 as eight hexadecimal digits: a Mapping's name has at most 50 characters, a Sync's 59. A scheduled
-- Sync's name ends in the minute of its slot, in decimal digits, and is never the same.
local function stamp(seconds)
  local digits = { [0] = "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f" }
  local text = ""
  while seconds > 0 do
    local digit = seconds % 16
    text = digits[digit] .. text
    seconds = (seconds - digit) / 16
  end
  return text
end

local sync = {
  apiVersion = "backflow.dev/v1alpha1",
  kind = "Sync",
  metadata = {
    name = obj.metadata.name .. "-" .. stamp(os.time()),
    namespace = obj.metadata.namespace,
    -- Argo CD shows it below its Mapping, and it goes when the Mapping goes.
    ownerReferences = {
      {
        apiVersion = obj.apiVersion,
        kind = obj.kind,
        name = obj.metadata.name,
        uid = obj.metadata.uid,
        controller = false,
        blockOwnerDeletion = false,
      },
    },
  },
  spec = {
    mappingRef = { name = obj.metadata.name },
    trigger = "Manual",
    mode = "Full",
  },
}

return { { operation = "create", resource = sync } }
