//! `backflow discover`: what an account offers for a setting or a field: its lists, object types, audiences.

use backflow_worker::choices::{self, Choice, ChoiceList};
use serde_json::json;

use crate::args::{DiscoverArgs, Output};
use crate::console::Console;
use crate::run::table;
use crate::secrets::{Given, LocalSecrets};
use crate::{exit, local, select, validate};

/// Runs the command and returns the exit code.
pub(crate) async fn run(args: &DiscoverArgs) -> u8 {
    let console = Console::new(args.output == Output::Text);
    let given = match Given::parse(&args.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    let (manifests, problems) = validate::load(&args.input, &given);
    let destination = match select::one(&manifests, "Destination", args.destination.as_ref()) {
        Ok(destination) => destination,
        Err(why) => return select::stopped(why.into(), &problems, &console),
    };
    if let Some(code) = select::refused(&problems, Some(&[destination]), &console) {
        return code;
    }
    let Ok(plan) = local::destination(&manifests.definitions, destination) else {
        return select::usage("the manifests cannot be planned; see backflow validate", &console);
    };
    let lists = choices::lists(&plan);
    let Some(list) = &args.list else {
        show_lists(&lists, args.output, &console);
        return exit::OK;
    };
    if !lists.iter().any(|known| known.list == *list) {
        let known: Vec<&str> = lists.iter().map(|known| known.list.as_str()).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return select::usage(&format!("{} has no list of choices \"{list}\"; {known}", destination.title()), &console);
    }
    let secrets = LocalSecrets::new(&given, &manifests.secrets, &destination.namespace);
    match choices::choices(&plan, &secrets, list).await {
        Ok(found) => {
            show_choices(&found, args.output, &console);
            exit::OK
        }
        Err(failure) => {
            console.error(format_args!("{}: {} ({})", destination.title(), failure.message, failure.code));
            exit::FAILED
        }
    }
}

fn show_lists(lists: &[ChoiceList], output: Output, console: &Console) {
    match output {
        Output::Json => lists.iter().for_each(|list| console.json(list)),
        Output::Text if lists.is_empty() => console.remark("This type of destination has no lists of choices."),
        Output::Text => {
            let rows: Vec<Vec<String>> =
                lists.iter().map(|list| vec![list.list.clone(), list.used_by.join(", ")]).collect();
            console.print(table(&["LIST".to_owned(), "FOR".to_owned()], &rows));
        }
    }
}

fn show_choices(found: &[Choice], output: Output, console: &Console) {
    match output {
        Output::Json => {
            found.iter().for_each(|choice| console.json(&json!({"value": choice.value, "label": choice.label})));
        }
        Output::Text => {
            // The account's own words go to a terminal: no control characters.
            let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
            let label = |choice: &Choice| choice.label.as_deref().map(plain).unwrap_or_default();
            let rows: Vec<Vec<String>> = found.iter().map(|choice| vec![plain(&choice.value), label(choice)]).collect();
            console.print(table(&["VALUE".to_owned(), "NAME".to_owned()], &rows));
            console.remark(match found.len() {
                0 => "The account has none.".to_owned(),
                1 => "1 choice".to_owned(),
                count => format!("{count} choices"),
            });
        }
    }
}
