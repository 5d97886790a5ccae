//! The block list, as XML.

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::container::MOST_BLOCKS;
use crate::sandbox::reply::Refusal;

/// Among which blocks a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Which {
    /// The staged ones, then the committed ones.
    Latest,
    /// The staged ones.
    Uncommitted,
    /// The committed ones.
    Committed,
}

/// One entry of a block list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Named {
    pub(in crate::sandbox) which: Which,
    pub(in crate::sandbox) id: String,
}

/// Reads a block list.
pub(in crate::sandbox) fn read(xml: &str) -> Result<Vec<Named>, Refusal> {
    let invalid = || Refusal::breach(400, "InvalidXmlDocument", "XML specified is not syntactically valid.");
    let mut reader = Reader::from_str(xml);
    let mut list = Vec::new();
    let (mut which, mut id, mut seen, mut depth) = (None, String::new(), false, 0u32);
    loop {
        match reader.read_event().map_err(|_| invalid())? {
            Event::Eof if seen && depth == 0 => return Ok(list),
            Event::Eof => return Err(invalid()),
            Event::Start(tag) => {
                depth += 1;
                match tag.name().as_ref() {
                    "BlockList" if depth == 1 && !seen => seen = true,
                    "Latest" if depth == 2 => which = Some(Which::Latest),
                    "Uncommitted" if depth == 2 => which = Some(Which::Uncommitted),
                    "Committed" if depth == 2 => which = Some(Which::Committed),
                    _ => return Err(invalid()),
                }
                id.clear();
            }
            Event::Empty(tag) if tag.name().as_ref() == "BlockList" && depth == 0 && !seen => seen = true,
            Event::Text(text) if which.is_some() => id.push_str(text.as_ref()),
            Event::Text(text) if text.chars().all(char::is_whitespace) => (),
            Event::End(_) => {
                depth = depth.checked_sub(1).ok_or_else(invalid)?;
                if let Some(which) = which.take() {
                    list.push(Named { which, id: id.trim().to_owned() });
                    if list.len() > MOST_BLOCKS {
                        return Err(Refusal::breach(
                            400,
                            "BlockListTooLong",
                            "The block list may not contain more than 50,000 blocks.",
                        ));
                    }
                }
            }
            Event::Decl(_) | Event::Comment(_) => (),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => return Err(invalid()),
        }
    }
}

/// Writes the answer of Get Block List.
pub(super) fn write(committed: Option<&[(&str, u64)]>, staged: Option<&[(&str, u64)]>) -> String {
    let mut xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for (name, blocks) in [("CommittedBlocks", committed), ("UncommittedBlocks", staged)] {
        match blocks {
            None => (),
            Some([]) => _ = write!(xml, "<{name} />"),
            Some(blocks) => {
                _ = write!(xml, "<{name}>");
                for (id, length) in blocks {
                    let id = quick_xml::escape::escape(*id);
                    _ = write!(xml, "<Block><Name>{id}</Name><Size>{length}</Size></Block>");
                }
                _ = write!(xml, "</{name}>");
            }
        }
    }
    xml.push_str("</BlockList>");
    xml
}
