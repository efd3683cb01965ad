-- Any new token starts one run, also of a suspended Mapping; status.lastHandledRequest echoes it.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["backflow.dev/requestedAt"] = os.date("!%Y-%m-%dT%XZ")
return obj
