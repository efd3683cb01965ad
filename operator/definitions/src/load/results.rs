//! What answers say of each record.

use backflow_core::finding::hint;

use super::action::over_records;
use super::place::{Object, Place};
use super::{connection, values};
use crate::http::Class;
use crate::problem::Problems;
use crate::request::{Failed, Results, ResultsKind, ResultsMode, Succeeded, Unaccounted, UnaccountedRule, Verdict};
use crate::template::{Allowed, Template};

/// Reads `results`. `sources`: the job's results, which `of` may name; nothing if they are not known.
pub(super) fn results(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    sources: Option<&[&str]>,
    problems: &mut Problems,
) -> Option<Results> {
    let mut object = place.object(problems)?;
    let mode = object.need("mode", problems).and_then(|place| place.one(&ResultsKind::NAMES, problems));
    let bisect = object.get("bisectOnReject").and_then(|place| place.boolean(problems)).unwrap_or(true);
    let answer = allowed.with(&connection::ANSWER);
    let requires = object.get("requires").and_then(|place| values::condition(&place, &answer, problems));
    let unaccounted = object.get("unaccounted").and_then(|place| {
        let all = [ResultsKind::Whole, ResultsKind::Accepted, ResultsKind::ByIndex, ResultsKind::Counts];
        if mode.is_some_and(|mode| all.contains(&mode)) {
            place.wrong(
                problems,
                "with this mode an answer speaks of all records, so that none is unaccounted; remove it",
            );
        }
        match place.node.text() {
            Some(text) if text.contains("${") => {
                values::expression(&place, &answer, problems).map(UnaccountedRule::Asked)
            }
            _ => place.one(&Unaccounted::NAMES, problems).map(UnaccountedRule::Always),
        }
    });
    let reader = Reader { allowed, sources };
    let read = mode.and_then(|mode| reader.mode(mode, &mut object, problems));
    if mode.is_some() {
        object.finish(problems);
    }
    let mode = read?;
    let silent = match &mode {
        ResultsMode::ByIndex { .. } | ResultsMode::Correlate { succeeded: Some(_), .. } => Unaccounted::Reject,
        _ => Unaccounted::Succeed,
    };
    Some(Results { mode, unaccounted: unaccounted.unwrap_or(UnaccountedRule::Always(silent)), bisect, requires })
}

struct Reader<'a> {
    allowed: Allowed<'a>,
    sources: Option<&'a [&'a str]>,
}

impl Reader<'_> {
    fn mode(&self, mode: ResultsKind, object: &mut Object<'_>, problems: &mut Problems) -> Option<ResultsMode> {
        Some(match mode {
            ResultsKind::Whole => ResultsMode::Whole,
            ResultsKind::Accepted => ResultsMode::Accepted,
            ResultsKind::ByIndex => {
                let of = self.of(object, problems);
                let from = self.answer(object, "from", problems);
                let ok = self.element(object, "ok", problems);
                let remote_id = self.maybe(object, "remoteId", problems);
                let verdict = self.verdict(object, problems);
                ResultsMode::ByIndex { of, from: from?, ok: ok?, remote_id, verdict }
            }
            ResultsKind::ErrorsByIndex => {
                ResultsMode::ErrorsByIndex { failed: self.failed(object, Some("index"), problems)? }
            }
            ResultsKind::IndexMaps => ResultsMode::IndexMaps { failed: self.failed(object, None, problems)? },
            ResultsKind::Correlate => {
                let succeeded = object.get("succeeded").and_then(|place| self.succeeded(&place, problems));
                ResultsMode::Correlate { succeeded, failed: self.failed(object, Some("ref"), problems)? }
            }
            ResultsKind::FailedKeys => ResultsMode::FailedKeys { failed: self.failed(object, Some("key"), problems)? },
            ResultsKind::Counts => {
                let failed = self.answer(object, "failed", problems);
                let answer = self.allowed.with(&connection::ANSWER);
                let sent = object.get("sent").and_then(|place| values::expression(&place, &answer, problems));
                ResultsMode::Counts { failed: failed?, sent }
            }
        })
    }

    /// The list of failures; `about`: the key that says what an element is about.
    fn failed(
        &self,
        object: &mut Object<'_>,
        about: Option<&'static str>,
        problems: &mut Problems,
    ) -> Option<Vec<Failed>> {
        let mut failed = Vec::new();
        for item in object.need("failed", problems)?.items(8, problems)? {
            let Some(mut object) = item.object(problems) else { continue };
            let of = self.of(&mut object, problems);
            let from = self.answer(&mut object, "from", problems);
            let named = about.map(|key| self.element(&mut object, key, problems));
            let record_key = (about == Some("key")).then(|| {
                let place = object.need("recordKey", problems)?;
                values::expression(&place, &over_records(self.allowed), problems)
            });
            let verdict = self.verdict(&mut object, problems);
            object.finish(problems);
            let whole = named.as_ref().is_none_or(Option::is_some) && record_key.as_ref().is_none_or(Option::is_some);
            if let (Some(from), true) = (from, whole) {
                let (about, record_key) = (named.flatten(), record_key.flatten());
                failed.push(Failed { of, from, about, record_key, verdict });
            }
        }
        Some(failed)
    }

    fn succeeded(&self, place: &Place<'_>, problems: &mut Problems) -> Option<Succeeded> {
        let mut object = place.object(problems)?;
        let of = self.of(&mut object, problems);
        let from = self.answer(&mut object, "from", problems);
        let about = self.element(&mut object, "ref", problems);
        let remote_id = self.maybe(&mut object, "remoteId", problems);
        object.finish(problems);
        Some(Succeeded { of, from: from?, about: about?, remote_id })
    }

    fn of(&self, object: &mut Object<'_>, problems: &mut Problems) -> Option<String> {
        let place = object.get("of")?;
        let name = place.text(problems)?;
        if let Some(sources) = self.sources.filter(|sources| !sources.contains(&name.as_str())) {
            let known = hint(&name, sources.iter().copied());
            place.wrong(problems, format!("job.results has no \"{name}\" {known}"));
        }
        Some(name)
    }

    fn answer(&self, object: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> Option<Template> {
        let place = object.need(key, problems)?;
        values::expression(&place, &self.allowed.with(&connection::ANSWER), problems)
    }

    fn element(&self, object: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> Option<Template> {
        let place = object.need(key, problems)?;
        values::expression(&place, &self.allowed.with(&connection::ELEMENT), problems)
    }

    fn maybe(&self, object: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> Option<Template> {
        let place = object.get(key)?;
        values::expression(&place, &self.allowed.with(&connection::ELEMENT), problems)
    }

    fn verdict(&self, object: &mut Object<'_>, problems: &mut Problems) -> Verdict {
        let element = self.allowed.with(&connection::ELEMENT);
        let class = object.get("class").and_then(|place| {
            let template = values::template(&place, &element, problems)?;
            let known = template.constant().is_none_or(|word| {
                word.as_text()
                    .and_then(Class::named)
                    .is_some_and(|class| class != Class::Ok && class != Class::SplitBatch)
            });
            if !known {
                place.wrong(problems, "must be reject, retry, throttle, auth, config or ignore");
            }
            Some(template)
        });
        let words = connection::words(object, &element, problems);
        let other = class.as_ref().and_then(Template::constant).is_some_and(|word| word.as_text() != Some("reject"));
        if other && (words.code.is_some() || words.field.is_some()) {
            object.wrong(problems, "code and field are shown of rejected records: they are for class: reject");
        }
        Verdict { class, words }
    }
}
