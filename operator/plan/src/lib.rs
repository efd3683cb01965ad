//! From manifests to plans, with all findings: the one place where what users write becomes what runs.
