//! Lists that come in pages.

use backflow_core::code::{Code, Failure};
use backflow_definitions::{Paginate, PaginateKind, Variable};
use backflow_expressions::Json;
use reqwest::Url;

use super::request::Page;
use super::{Answer, Ask, Connection, Exchanged};
use crate::delivery::{Line, Reply};

/// Pages of one list, at most.
const PAGES: usize = 1_000;

/// Reads a list page by page: `each` is given every answer, and says how many items it had.
pub(crate) async fn pages(
    connection: &Connection,
    ask: &Ask<'_>,
    paginate: Option<&'static Paginate>,
    line: &Line<'_>,
    mut each: impl FnMut(Answer) -> Result<(usize, Answer), Reply> + Send,
) -> Result<(), Reply> {
    let mut page = first(paginate);
    let mut read = 0;
    for number in 1..=PAGES {
        let answer = match connection.exchange_page(ask, page.as_ref(), line).await {
            Exchanged::Taken(answer) => *answer,
            Exchanged::Ignored => return Ok(()),
            other => return Err(other.reply(0)),
        };
        let (items, answer) = each(answer)?;
        read += items;
        let Some(paginate) = paginate else { return Ok(()) };
        let scope = answer.scope(ask.scope).with(Variable::Cfg, &connection.cfg);
        let next = paginate.next.as_ref().map(|template| template.value(&scope));
        let next = match next.transpose() {
            Ok(next) => next.flatten().filter(|next| *next != Json::Null),
            Err(_) => None,
        };
        let param = |value: String| {
            let mut pairs = vec![(paginate.param.clone().unwrap_or_default(), value)];
            pairs.extend(size(paginate));
            Some(Page::Query(pairs))
        };
        page = match paginate.kind {
            PaginateKind::Cursor => match (next.as_ref().and_then(Json::text), &paginate.param) {
                (Some(next), _) if next.is_empty() => None,
                (Some(next), Some(_)) => param(next.into_owned()),
                (Some(next), None) => Url::parse(&next).ok().map(Page::Url),
                (None, _) => None,
            },
            PaginateKind::LinkHeader => link(&answer).map(Page::Url),
            PaginateKind::Offset if items > 0 && full(paginate, items) => param(read.to_string()),
            PaginateKind::Page if items > 0 && full(paginate, items) => param((number + 1).to_string()),
            PaginateKind::Offset | PaginateKind::Page => None,
        };
        if page.is_none() {
            return Ok(());
        }
    }
    let message = format!("{} has a list of more than {PAGES} pages, which is not read to its end", connection.shown);
    Err(Reply::Stop(Failure::new(Code::LimitExceeded, message)))
}

fn size(paginate: &Paginate) -> Option<(String, String)> {
    Some((paginate.page_size_param.clone()?, paginate.page_size?.to_string()))
}

fn first(paginate: Option<&'static Paginate>) -> Option<Page> {
    let paginate = paginate?;
    let mut pairs: Vec<(String, String)> = size(paginate).into_iter().collect();
    if let (PaginateKind::Page, Some(param)) = (paginate.kind, &paginate.param) {
        pairs.push((param.clone(), "1".to_owned()));
    }
    (!pairs.is_empty()).then_some(Page::Query(pairs))
}

/// A page with fewer items than it may have is the last.
fn full(paginate: &Paginate, items: usize) -> bool {
    paginate.page_size.is_none_or(|size| items >= size as usize)
}

/// The URL that the header `Link` calls the next.
fn link(answer: &Answer) -> Option<Url> {
    let text = answer.raw.headers.get(reqwest::header::LINK)?.to_str().ok()?;
    let next = text.split(',').find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    Url::parse(next.split_once('<')?.1.split_once('>')?.0).ok()
}
