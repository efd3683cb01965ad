//! Where a schema stands, and what is read there: what nobody reads is refused.

use super::Purpose;
use crate::load::place::Place;
use crate::problem::Problems;

/// Where a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// It is that of all settings, of the config, of all fields.
    Root,
    /// Directly in their properties.
    Direct,
    /// In the properties of an object in them.
    Nested,
    /// It is that of a list's items.
    Item,
    /// It is that of members without a name, or stands in one of those or in an item.
    Inside,
    /// In a group of `anyOf` or `oneOf`.
    Group,
}

/// Where what is said of one value is read.
const VALUES: &[Spot] = &[Spot::Direct, Spot::Nested, Spot::Item, Spot::Inside];
/// Where what says which values there are is read.
const FORMS: &[Spot] = &[Spot::Direct, Spot::Nested, Spot::Item, Spot::Inside, Spot::Group];
/// Where properties are asked for by their paths.
const PROPERTIES: &[Spot] = &[Spot::Direct, Spot::Nested];

/// Keywords that are not read everywhere, and the words for those who look for them elsewhere.
const READ: [(&[&str], &[Spot], &str); 7] = [
    (&["x-secret", "x-identity"], &[Spot::Direct], "is for what stands directly in properties"),
    (&["x-choices"], PROPERTIES, "is for properties; for the items of a list it stands beside items"),
    (&["x-requiredWhen", "x-role", "x-columns"], PROPERTIES, "is for properties that can be named by a path"),
    (
        &["x-normalize", "x-hash", "x-coerce", "x-maxBytes", "x-pii", "title", "examples"],
        VALUES,
        "is for one value: neither for all together nor for a group of anyOf or oneOf",
    ),
    (
        &["x-onNull"],
        &[Spot::Root, Spot::Direct, Spot::Nested, Spot::Inside],
        "is for members of objects: of a list, null is no item unless its type allows null",
    ),
    (
        &[
            "enum",
            "const",
            "pattern",
            "format",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "items",
            "minItems",
            "maxItems",
            "uniqueItems",
        ],
        FORMS,
        "is for one value, not for all together",
    ),
    (&["minProperties", "maxProperties"], FORMS, "is for one object, not for all together; use required or anyOf"),
];

impl Spot {
    pub(super) const fn of_properties(self) -> Self {
        match self {
            Self::Root => Self::Direct,
            Self::Direct | Self::Nested => Self::Nested,
            Self::Item | Self::Inside => Self::Inside,
            Self::Group => Self::Group,
        }
    }

    pub(super) const fn of_items(self) -> Self {
        match self {
            Self::Group => Self::Group,
            _ => Self::Item,
        }
    }

    /// Of members without a name.
    pub(super) const fn of_others(self) -> Self {
        match self {
            Self::Group => Self::Group,
            _ => Self::Inside,
        }
    }

    /// Finds what is not read here.
    pub(super) fn check(self, purpose: Purpose, place: &Place<'_>, problems: &mut Problems) {
        let mut refuse = |key: &str, why: &str| {
            if place.node.get(key).is_some() {
                problems.add(place.key_at(key), &format!("{}.{key}", place.path), why);
            }
        };
        for (keys, spots, why) in READ {
            if !spots.contains(&self) {
                keys.iter().for_each(|key| refuse(key, why));
            }
        }
        match purpose {
            Purpose::Fields if !VALUES.contains(&self) => refuse("default", "is for one value"),
            Purpose::Settings | Purpose::Config if self != Self::Direct => {
                refuse("default", "is filled in for what stands directly in properties, and nowhere else");
            }
            _ => {}
        }
    }
}
