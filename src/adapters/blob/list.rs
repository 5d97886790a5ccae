//! Block lists, as the store reads and writes them (XML).

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::ports::blobs::StoredBlock;

/// Writes the list that makes a blob of blocks. `Latest` takes a block that
/// was just sent as well as one that the blob had already.
pub(super) fn write(ids: &[String]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for id in ids {
        text.push_str("<Latest>");
        text.push_str(&quick_xml::escape::escape(id.as_str()));
        text.push_str("</Latest>");
    }
    text.push_str("</BlockList>");
    text
}

/// Reads the list of blocks a store holds, committed or not.
pub(super) fn read(body: &[u8]) -> Result<Vec<StoredBlock>, String> {
    let unreadable = || "the store's block list cannot be read".to_owned();
    let mut reader = Reader::from_str(std::str::from_utf8(body).map_err(|_| unreadable())?);
    let mut blocks = Vec::new();
    let (mut id, mut length, mut text) = (None, None, String::new());
    let mut listed = false;
    loop {
        match reader.read_event().map_err(|_| unreadable())? {
            Event::Start(_) => text.clear(),
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::End(tag) => match tag.name().as_ref() {
                "Name" => id = Some(std::mem::take(&mut text)),
                "Size" => length = Some(text.trim().parse().map_err(|_| unreadable())?),
                "Block" => {
                    let (id, length) = (id.take().ok_or_else(unreadable)?, length.take().ok_or_else(unreadable)?);
                    blocks.push(StoredBlock { id, length });
                }
                // Only its end makes it a whole list: half of one would say that blocks are gone.
                "BlockList" => listed = true,
                _ => (),
            },
            // Entity references have no place in base64; whatever else is no block either.
            Event::Eof if listed => return Ok(blocks),
            Event::Eof => return Err(unreadable()),
            Event::Empty(tag) => listed |= tag.name().as_ref() == "BlockList",
            Event::GeneralRef(_) => return Err(unreadable()),
            Event::Comment(_) | Event::CData(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_and_uncommitted_blocks_are_read() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList><CommittedBlocks><Block><Name>QQ==</Name>\
            <Size>3</Size></Block></CommittedBlocks>\n<UncommittedBlocks><Block>\n<Name>Qg==</Name><Size>4194304000</Size>\
            </Block></UncommittedBlocks></BlockList>";
        let block = |id: &str, length| StoredBlock { id: id.to_owned(), length };
        assert_eq!(read(body.as_bytes()), Ok(vec![block("QQ==", 3), block("Qg==", 4_194_304_000)]));
        for empty in
            ["<BlockList/>", "<BlockList><CommittedBlocks/><UncommittedBlocks></UncommittedBlocks></BlockList>"]
        {
            assert_eq!(read(empty.as_bytes()), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_no_block_list_or_half_of_one_is_refused() {
        for body in [
            "",
            "{}",
            "<html><body>sign in</body></html>",
            "<BlockList><Block><Name>QQ==</Name></Block></BlockList>",
            "<BlockList>",
            "<BlockList><CommittedBlocks><Block><Name>QQ==</Name><Size>3</Size></Block>",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_list_names_its_blocks_in_order() {
        let text = write(&["QQ==".to_owned(), "Qg==".to_owned()]);
        assert!(text.ends_with("<BlockList><Latest>QQ==</Latest><Latest>Qg==</Latest></BlockList>"), "{text}");
    }
}
