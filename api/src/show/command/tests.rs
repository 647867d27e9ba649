use super::{COMMANDS, Candidate, Command, Show, candidates, parse};

fn request(line: &str) -> super::Request {
    let words: Vec<&str> = line.split_whitespace().collect();
    parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    parse(&words).expect_err(line).to_string()
}

#[test]
fn lines_and_where_they_lead() {
    let rows = [
        ("show bgp summary", Show::Summary, "/v1/show/bgp/summary?format=text"),
        ("sh bg su", Show::Summary, "/v1/show/bgp/summary?format=text"),
        ("show ip bgp summary", Show::FamilySummary, "/v1/show/bgp/ipv4/summary?format=text"),
        ("show bgp ipv6 unicast summary", Show::FamilySummary, "/v1/show/bgp/ipv6/summary?format=text"),
        ("show bgp", Show::Table, "/v1/show/bgp/ipv4?format=text"),
        ("show ip bgp", Show::Table, "/v1/show/bgp/ipv4?format=text"),
        ("show bgp ipv6", Show::Table, "/v1/show/bgp/ipv6?format=text"),
        ("show bgp ipv6 u", Show::Table, "/v1/show/bgp/ipv6?format=text"),
        ("show bgp 10.0.0.0/8", Show::Prefix, "/v1/show/bgp/ipv4/10.0.0.0%2F8?format=text"),
        ("show bgp fd00::1", Show::Prefix, "/v1/show/bgp/ipv6/fd00::1?format=text"),
        ("show bgp ipv4 unicast 10.1.2.3", Show::Prefix, "/v1/show/bgp/ipv4/10.1.2.3?format=text"),
        ("show bgp nei", Show::Neighbors, "/v1/show/bgp/neighbors?format=text"),
        ("show bgp neighbor tor-a", Show::Neighbor, "/v1/show/bgp/neighbors/tor-a?format=text"),
        (
            "show bgp nei tor-a hist",
            Show::NeighborHistory,
            "/v1/show/bgp/neighbors/tor-a/history?format=text",
        ),
        (
            "show bgp neighbors eth0/1 adv",
            Show::AdvertisedRoutes,
            "/v1/show/bgp/neighbors/eth0%2F1/advertised-routes?format=text",
        ),
        (
            "show bgp ipv6 unicast neighbors fd00::1 received-routes",
            Show::ReceivedRoutes,
            "/v1/show/bgp/neighbors/fd00::1/received-routes?family=ipv6&format=text",
        ),
        (
            "show ip bgp neighbors 10.0.0.1 routes",
            Show::NeighborRoutes,
            "/v1/show/bgp/neighbors/10.0.0.1/routes?family=ipv4&format=text",
        ),
        ("bgp peers", Show::CiliumPeers, "/v1/bgp/peers?format=text"),
        ("bgp routes", Show::CiliumRoutes, "/v1/bgp/routes?format=text"),
        (
            "bgp routes advertised ipv6 unicast peer fd00::1 vrouter 65001",
            Show::CiliumRoutes,
            "/v1/bgp/routes?table=advertised&family=ipv6&peer=fd00::1&vrouter=65001&format=text",
        ),
        (
            "bgp routes received ipv4 vrouter 65001 neighbor 10.0.0.1",
            Show::CiliumRoutes,
            "/v1/bgp/routes?table=received&family=ipv4&vrouter=65001&peer=10.0.0.1&format=text",
        ),
        ("bgp route-p", Show::CiliumPolicies, "/v1/bgp/route-policies?format=text"),
    ];
    for (line, show, target) in rows {
        let request = request(line);
        assert_eq!((request.command.show, request.target("text", None).as_str()), (show, target), "{line}");
        assert!(!request.json, "{line}");
    }
}

#[test]
fn json_and_instance() {
    let request = request("show bgp ipv4 unicast 10.0.0.0/8 json");
    assert!(request.json);
    assert_eq!(
        request.target("json", Some("a b")),
        "/v1/show/bgp/ipv4/10.0.0.0%2F8?format=json&instance=a%20b"
    );
}

#[test]
fn what_is_not_understood_is_said_with_what_would_be() {
    let rows = [
        ("configure", "% Unknown command: configure\n  commands start with: bgp, show"),
        (
            "show bgp nonsense",
            "% Unknown command: show bgp nonsense\n  possible after 'show bgp': ipv4, ipv6, json, neighbors, summary, \
             PREFIX (10.0.0.0/8, fd00::/64, 192.0.2.1)",
        ),
        ("show bgp ip", "% Ambiguous command: show bgp ip\n  can be: ipv4, ipv6"),
        ("show", "% Command incomplete: show\n  goes on with: bgp, ip"),
        (
            "show bgp neighbors 10.0.0.1 filtered-routes",
            "% Unknown command: show bgp neighbors 10.0.0.1 filtered-routes\n  possible after 'show bgp neighbors \
             10.0.0.1': advertised-routes, history, json, received-routes, routes",
        ),
        (
            "show bgp summary json now",
            "% Unknown command: show bgp summary json now\n  nothing can follow 'show bgp summary json'",
        ),
        ("show bgp ipv6 10.0.0.0/8", "% 10.0.0.0/8 is not an IPv6 prefix or address"),
        (
            "bgp routes vrouter x",
            "% Unknown command: bgp routes vrouter x\n  possible after 'bgp routes vrouter': ASN",
        ),
    ];
    for (line, text) in rows {
        assert_eq!(refused(line), text, "{line}");
    }
}

/// Two rows that fit the same words would make the first one hide the second.
#[test]
fn no_two_rows_understand_the_same_words() {
    let all: Vec<Candidate<Command>> = candidates(COMMANDS).collect();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            assert!(
                one.command.show == other.command.show || one.sequence != other.sequence,
                "{:?} and {:?}: {:?}",
                one.command.show,
                other.command.show,
                one.sequence
            );
        }
    }
}

/// The values in a path are those that the words give.
#[test]
fn every_path_can_be_filled() {
    for command in COMMANDS {
        for name in command.path.split('{').skip(1).map(|part| part.split('}').next().expect("a name")) {
            let value = match name {
                "family" => continue,
                "prefix" => "PREFIX",
                "peer" => "NEIGHBOR",
                other => panic!("{}: nothing fills {other}", command.path),
            };
            assert!(command.words.iter().all(|words| words.contains(value)), "{}: {value}", command.path);
        }
    }
}
