//! What a role may do, as `SHOW GRANTS` says it: that needs no virtual warehouse.

use std::collections::{BTreeSet, VecDeque};

use super::api::{Api, Statement};
use super::errors::Failed;
use crate::sql::quote;

/// Roles that are looked at: a role has the grants of all roles that are granted to it.
const ROLES: usize = 64;

/// Whether the role has one of `privileges` on the object, or owns it. `None`: its grants may not be seen.
pub(super) async fn has(
    api: &Api,
    role: &str,
    privileges: &[&str],
    kind: &str,
    name: &[&str],
) -> Result<Option<bool>, Failed> {
    let mut seen = BTreeSet::from([role.to_owned()]);
    let mut left = VecDeque::from([role.to_owned()]);
    let mut known = true;
    while let Some(role) = left.pop_front() {
        let statement = Statement::own(format!("SHOW GRANTS TO ROLE {}", quote(&role)), &[]);
        let grants = match api.columns(&statement, &["privilege", "granted_on", "name"]).await {
            Ok(grants) => grants,
            Err(Failed::Sql(_)) => {
                known = false;
                continue;
            }
            Err(failed) => return Err(failed),
        };
        for grant in grants {
            let [Some(privilege), Some(on), Some(of)] = grant.as_slice() else { continue };
            let fits = privilege == "OWNERSHIP" || privileges.contains(&privilege.as_str());
            if fits && on == kind && parts(of) == name {
                return Ok(Some(true));
            }
            if on == "ROLE" && privilege == "USAGE" {
                let of = parts(of).pop().unwrap_or_default();
                if seen.len() < ROLES && seen.insert(of.clone()) {
                    left.push_back(of);
                }
            }
        }
    }
    Ok((known && seen.len() < ROLES).then_some(false))
}

/// The parts of a name as `SHOW GRANTS` prints it: in double quotes where SQL would want them.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            letter => part.push(letter),
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn names_are_taken_apart_as_they_are_printed() {
        assert_eq!(parts("ANALYTICS"), ["ANALYTICS"]);
        assert_eq!(parts("ANALYTICS._BACKFLOW"), ["ANALYTICS", "_BACKFLOW"]);
        assert_eq!(parts("\"a.b\".\"say \"\"hi\"\"\""), ["a.b", "say \"hi\""]);
    }
}
