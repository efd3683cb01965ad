-- Stops after the batch in flight; what was acknowledged is committed.
obj.spec.cancel = true
return obj
