//! The order in which Mappings run.

use std::collections::BTreeSet;

use crate::manifests::Resource;

/// A Mapping that follows another one (`schedule.after`) comes after it; else the order stays as it is. Circles are findings, and end
/// here where they began.
pub(super) fn in_order(mappings: Vec<&Resource>) -> Vec<&Resource> {
    fn visit<'a>(
        mapping: &'a Resource,
        all: &[&'a Resource],
        seen: &mut BTreeSet<(&'a str, &'a str)>,
        ordered: &mut Vec<&'a Resource>,
    ) {
        if !seen.insert((&mapping.namespace, &mapping.name)) {
            return;
        }
        let before = mapping.refers_to(&["schedule", "after", "mappingRef"]);
        let upstream = all.iter().find(|other| before == Some(&*other.name) && other.namespace == mapping.namespace);
        if let Some(upstream) = upstream {
            visit(upstream, all, seen, ordered);
        }
        ordered.push(mapping);
    }
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for mapping in &mappings {
        visit(mapping, &mappings, &mut seen, &mut ordered);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::File;
    use crate::manifests::Manifests;

    fn names(pairs: &[(&str, Option<&str>)]) -> Vec<String> {
        let text = pairs
            .iter()
            .map(|(name, after)| {
                let schedule = after.map_or("{manual: {}}".to_owned(), |after| format!("{{after: {{mappingRef: {{name: {after}}}}}}}"));
                format!("apiVersion: backflow.dev/v1alpha1\nkind: Mapping\nmetadata: {{name: {name}}}\nspec: {{schedule: {schedule}}}\n")
            })
            .collect::<Vec<_>>()
            .join("---\n");
        let file = File { name: "m.yaml".into(), folder: ".".into(), text };
        let manifests = Manifests::read(vec![file], "default", &mut Vec::new());
        in_order(manifests.resources.iter().collect()).iter().map(|mapping| mapping.name.clone()).collect()
    }

    #[test]
    fn followers_come_after_those_they_follow_and_the_rest_stays() {
        assert_eq!(names(&[("c", Some("b")), ("x", None), ("b", Some("a")), ("a", None)]), ["a", "b", "c", "x"]);
        assert_eq!(names(&[("b", None), ("a", None)]), ["b", "a"]);
        assert_eq!(names(&[("a", Some("elsewhere"))]), ["a"]);
        assert_eq!(names(&[("a", Some("b")), ("b", Some("a"))]), ["b", "a"]);
    }
}
