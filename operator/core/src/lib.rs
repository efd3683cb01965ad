//! The domain of Backflow, pure: plans, changes, outcomes, schedules, decisions.
