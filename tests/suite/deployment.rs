//! What an administrator installs: that units, manifests and the image say what
//! the program does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use edm_agent::adapters::journal::CLOSE_LIMIT;
use edm_agent::cli::config;
use serde_json::Value;

use crate::support::tree;
use crate::support::yaml::documents;

/// Where probes are answered in a container.
const PROBES: i64 = 9464;
/// How long a probe may take until the agent itself says that it hangs.
const STUCK: i64 = 10;
/// What `run --grace` is without being asked.
const GRACE: Duration = Duration::from_secs(10);

fn of_kind(path: &str, kind: &str) -> Value {
    documents(path).into_iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("{path}: {kind}"))
}

const DEPLOYMENT: &str = "container/kubernetes/deployment.yaml";
const SIDECAR: &str = "container/kubernetes/sidecar.yaml";

/// The pods of the manifests, with where the agent stands in each.
fn pods() -> [(&'static str, Value, &'static str); 2] {
    let spec = |path: &str, kind: &str| of_kind(path, kind)["spec"]["template"]["spec"].clone();
    [
        (DEPLOYMENT, spec(DEPLOYMENT, "Deployment"), "/containers/0"),
        (SIDECAR, spec(SIDECAR, "Job"), "/initContainers/0"),
    ]
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Asserts that a command takes its flags.
fn assert_taken(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_edm-agent")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in arguments.iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(flag), "{flag} is none of {arguments:?}");
    }
}

#[test]
fn the_image_and_the_manifests_run_this_version_with_flags_it_takes() {
    let image = format!("edm-agent:{}", env!("CARGO_PKG_VERSION"));
    for (path, pod, place) in pods() {
        let agent = pod.pointer(place).unwrap();
        assert_eq!((agent["name"].as_str(), agent["image"].as_str()), (Some("edm-agent"), Some(&*image)), "{path}");
        assert_taken(&texts(&agent["args"]));
        assert!(texts(&agent["args"]).contains(&"--exit-zero-on-sigterm"), "{path}");
    }
    let file = tree::read("container/Containerfile");
    let command = file.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    assert_taken(&texts(&serde_json::from_str(command).unwrap()));
    assert!(file.contains("USER 65532:65532") && file.contains(&format!("EDM_AGENT__HTTP__LISTEN=0.0.0.0:{PROBES}")));
    for page in [SIDECAR, "docs/DEPLOYMENT.md"] {
        assert!(tree::read(page).contains("edm-agent sessions commit ID --wait live"), "{page}");
    }
    assert_taken(&["sessions", "commit", "ID", "--wait", "live"]);
}

#[test]
fn the_probes_ask_what_is_answered_and_wait_longer_than_the_answer_takes() {
    let answered = tree::read("src/agent/probes.rs");
    for (path, pod, place) in pods() {
        let agent = pod.pointer(place).unwrap();
        assert_eq!(agent["ports"][0]["containerPort"], PROBES, "{path}");
        for (probe, at) in [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            let asked = &agent[probe]["httpGet"];
            assert_eq!((asked["path"].as_str(), asked["port"].as_str()), (Some(at), Some("probes")), "{path}: {probe}");
            assert!(answered.contains(&format!("\"{at}\"")), "{at} is not answered");
            if probe != "startupProbe" {
                assert!(agent[probe]["timeoutSeconds"].as_i64().unwrap() > STUCK, "{path}: {probe}");
            }
        }
    }
}

#[test]
fn a_pod_closes_the_agent_off_and_gives_it_time_to_stop() {
    for (path, pod, place) in pods() {
        let agent = pod.pointer(place).unwrap();
        let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
        assert!(grace > GRACE + CLOSE_LIMIT, "{path}");
        let own = &agent["securityContext"];
        assert_eq!(own["readOnlyRootFilesystem"], true, "{path}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{path}");
        assert_eq!(texts(&own["capabilities"]["drop"]), ["ALL"], "{path}");
        let user = own.get("runAsUser").unwrap_or(&pod["securityContext"]["runAsUser"]);
        assert_eq!((user.as_i64(), &pod["securityContext"]["runAsNonRoot"]), (Some(65_532), &true.into()), "{path}");
        assert_eq!(pod["securityContext"]["fsGroup"], 65_532, "{path}");
        // Else each start opens the state to the group, and the agent refuses it.
        assert_eq!(pod["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch", "{path}");
    }
}

#[test]
fn every_mount_of_a_pod_has_its_volume_and_secrets_are_for_the_group_only() {
    for (path, pod, _) in pods() {
        let volumes: BTreeMap<&str, &Value> = pod["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|volume| (volume["name"].as_str().unwrap(), volume))
            .collect();
        let lists = ["containers", "initContainers"].map(|list| pod[list].as_array());
        let containers: Vec<&Value> = lists.into_iter().flatten().flatten().collect();
        for container in &containers {
            for mount in container["volumeMounts"].as_array().unwrap() {
                let name = mount["name"].as_str().unwrap();
                assert!(volumes.contains_key(name), "{path}: there is no volume {name}");
            }
        }
        let used = |name: &str| containers.iter().any(|container| container["volumeMounts"].to_string().contains(name));
        assert!(volumes.keys().all(|name| used(name)), "{path}: {:?}", volumes.keys());
        // Octal in a cluster, plain 440 to this reader.
        assert_eq!(volumes["credentials"]["secret"]["defaultMode"], 440, "{path}");
        assert!(tree::read(path).contains("defaultMode: 0440"), "{path}");
    }
}

#[test]
fn the_sidecar_is_there_before_the_uploader_and_both_reach_the_socket() {
    let (_, pod, place) = &pods()[1];
    let agent = pod.pointer(place).unwrap();
    assert_eq!(agent["restartPolicy"], "Always", "without it the uploader would never start");
    let uploader = &pod["containers"][0];
    assert_ne!(uploader["securityContext"]["runAsUser"], agent["securityContext"]["runAsUser"]);
    for container in [agent, uploader] {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let socket = mounts.iter().find(|mount| mount["name"] == "socket").unwrap();
        assert_eq!(socket["mountPath"], "/run/edm-agent");
    }
}

#[test]
fn the_deployment_never_runs_two_agents_over_one_state() {
    let deployment = &of_kind(DEPLOYMENT, "Deployment")["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&1.into(), &"Recreate".into()));
    assert_eq!(deployment["selector"]["matchLabels"], deployment["template"]["metadata"]["labels"]);
    let claim = of_kind(DEPLOYMENT, "PersistentVolumeClaim");
    let volumes = deployment["template"]["spec"]["volumes"].to_string();
    assert!(volumes.contains(claim["metadata"]["name"].as_str().unwrap()), "{volumes}");
}

#[test]
fn the_configuration_of_each_manifest_is_one_the_agent_takes() {
    let folder = tempfile::tempdir().unwrap();
    for path in [DEPLOYMENT, SIDECAR] {
        let map = of_kind(path, "ConfigMap");
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, map["data"]["agent.toml"].as_str().unwrap()).unwrap();
        let variables = vec![("CREDENTIALS_DIRECTORY".to_owned(), "/run/credentials/edm-agent".to_owned())];
        let settings = config::load(Some(&file), variables).unwrap_or_else(|trouble| panic!("{path}: {trouble}"));
        // A folder in the volume: the volume itself is the cluster's.
        assert!(settings.state_dir.parent() == Some(Path::new("/var/lib/edm-agent")), "{path}");
    }
}

#[test]
fn every_example_of_a_drop_in_sets_keys_of_the_unit_and_the_package_brings_them_all() {
    let keys = ["SupplementaryGroups", "IPAddressDeny", "IPAddressAllow", "LoadCredential", "LoadCredentialEncrypted"];
    let examples: Vec<_> =
        tree::files("systemd/examples").into_iter().filter(|it| it.path.ends_with(".conf")).collect();
    assert!(examples.len() >= 6);
    let page = tree::read("docs/DEPLOYMENT.md");
    for example in examples {
        let lines = example.text.lines().filter(|line| !line.starts_with("# ") && *line != "#" && !line.is_empty());
        for line in lines.map(|line| line.trim_start_matches('#')).filter(|line| *line != "[Service]") {
            let key = line.split('=').next().unwrap();
            assert!(keys.contains(&key), "{}: {line}", example.path);
        }
        let name = example.path.rsplit('/').next().unwrap();
        assert!(page.contains(name), "{name} is not on the page");
    }
}

#[test]
fn the_unit_is_watched_closed_off_and_open_to_one_group() {
    let unit = tree::read("systemd/edm-agent.service");
    for line in [
        "WatchdogSec=60s",
        "DynamicUser=yes",
        "Group=edm-agent-admin",
        "StateDirectoryMode=0700",
        "RuntimeDirectoryMode=0750",
        "PrivateUsers=yes",
        "IPAddressDeny=any",
        "LimitCORE=0",
        "MemorySwapMax=0",
    ] {
        assert!(unit.lines().any(|other| other == line), "{line}");
    }
    assert!(tree::read("systemd/sysusers.d/edm-agent.conf").contains("\ng edm-agent-admin -\n"));
}
