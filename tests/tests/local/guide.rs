//! docs/write-a-definition.md, done as it says: every block of it, in order, in an empty folder.

use backflow_tests::guide::Reader;

#[test]
fn every_block_does_what_the_page_says() {
    let mut reader = Reader::new("write-a-definition.md").unwrap();
    reader.port("8087").unwrap();
    for block in reader.blocks().unwrap() {
        assert!(reader.does(&block).unwrap(), "line {}: nobody knows what to do with it", block.line);
    }
    reader.ends().unwrap();
    let (files, commands) = reader.done;
    assert!((files, commands) >= (7, 8), "{files} files, {commands} commands");
    let arrived = std::fs::read_to_string(reader.path("contacts.txt")).unwrap();
    assert!(arrived.contains("ada@example.com") && !arrived.contains("nobody"), "{arrived}");
}
