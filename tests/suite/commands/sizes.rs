//! How large blocks are, from the setting to what the service is told.

use edm_agent::sandbox::people;

use super::harness::Host;

#[tokio::test]
async fn a_table_without_rows_per_block_has_blocks_of_the_size_that_is_set() {
    let mut host = Host::new().await;
    host.configure("when = \"manual\"\n");
    host.set("upload.block_size", "4KiB");
    let rows_per_block = (4_096 - 16) / (people::COLUMNS.len() * 32);

    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["total_blocks"], 200_usize.div_ceil(rows_per_block));
    let bundle = host.path("bundle");
    let hashed = host.run(&["hash", "--table", "patients", "--output", bundle.to_str().unwrap(), "--json"]).await;
    assert_eq!(hashed.json()["rows_per_block"], rows_per_block);
    host.assert_uploaded_once("4 KiB").await;
}

#[tokio::test]
async fn a_table_no_configuration_names_has_blocks_of_the_default_size() {
    let mut host = Host::new().await;
    host.set("upload.block_size", "4KiB");
    let [table, schema, bundle] = ["patients.csv", "patients.xml", "bundle"].map(|name| host.path(name));
    let paths = [&table, &schema, &bundle].map(|path| path.to_str().unwrap());

    let hashed = host.run(&["hash", "--input", paths[0], "--schema", paths[1], "--output", paths[2], "--json"]).await;

    assert_eq!(hashed.json()["rows_per_block"], ((8 << 20) - 16) / (people::COLUMNS.len() * 32), "{hashed:?}");
}
