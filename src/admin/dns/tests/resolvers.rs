//! Which servers are queried, how often, and for how long.

use super::*;

/// The servers together, with less time for each than usual, but enough on a busy host.
fn together(servers: &[&Dns]) -> Dns {
    let resolvers = servers.iter().flat_map(|dns| dns.resolvers.clone()).collect();
    Dns::new(resolvers, Wait { timeout: Duration::from_secs(2), attempts: 2 })
}

fn says(text: &'static str) -> Dns {
    serve(move |_, question, mut reply| {
        reply.add_answer(txt(&asked(question), &[text]));
        Some(reply)
    })
}

fn refuses() -> Dns {
    serve(|_, _, mut reply| {
        reply.metadata.response_code = ResponseCode::Refused;
        Some(reply)
    })
}

fn is_silent() -> Dns {
    serve(|_, _, _| None)
}

#[test]
fn the_servers_are_queried_in_their_order_until_one_answers() {
    let (one, other, refusing, silent) = (says("one"), says("other"), refuses(), is_silent());
    for (servers, first) in [
        ([&one, &other, &refusing], "one"),
        ([&other, &one, &silent], "other"),
        ([&silent, &refusing, &one], "one"),
    ] {
        assert_eq!(records(&together(&servers).txt("x.test")), [first.as_bytes()]);
    }
    let error = LookupError::Refused(refusing.resolvers[0], "REFUSED".to_owned());
    assert_eq!(together(&[&silent, &refusing]).txt("x.test").found, Found::Unknown(error));
}

#[test]
fn a_server_that_refuses_is_not_silent() {
    let silent = together(&[&is_silent()]);
    assert_eq!(silent.answers(), Err(LookupError::Timeout(silent.resolvers[0])));
    let bogus = serve(|_, _, mut reply| {
        let reason = EdnsOption::Unknown(15, vec![0, 9]);
        reply.edns.get_or_insert_default().options_mut().insert(reason);
        reply.metadata.response_code = ResponseCode::ServFail;
        Some(reply)
    });
    for dns in [says("x"), refuses(), bogus] {
        assert_eq!(dns.answers(), Ok(()));
    }
}

#[test]
fn rfc8914_4_the_errors_of_a_failed_validation_are_known() {
    let dns = serve(|_, question, mut reply| {
        let name = asked(question);
        let number = name.strip_suffix(".test").unwrap().parse().unwrap();
        let reason = EdnsOption::Unknown(15, vec![0, number]);
        reply.edns.get_or_insert_default().options_mut().insert(reason);
        reply.metadata.response_code = ResponseCode::ServFail;
        Some(reply)
    });
    let bogus = Found::Unknown(LookupError::Bogus(dns.resolvers[0]));
    for (number, is_bogus) in [(4, false), (5, true), (12, true), (13, false)] {
        assert_eq!(dns.txt(&format!("{number}.test")).found == bogus, is_bogus, "{number}");
    }
}

#[test]
fn a_query_that_was_lost_is_sent_again() {
    let received = Arc::new(AtomicUsize::new(0));
    let mut dns = serve(move |_, _, mut reply| {
        reply.add_answer(txt("x.test", &["x"]));
        Some(reply).filter(|_| received.fetch_add(1, Ordering::SeqCst) == 2)
    });
    dns.bounds.wait = Wait { timeout: Duration::from_secs(3), attempts: 3 };
    assert_eq!(records(&dns.txt("x.test")), [b"x"]);
}

#[test]
fn a_reply_with_another_id_is_ignored() {
    let dns = serve(|_, question, mut reply| {
        reply.metadata.id = question.metadata.id.wrapping_add(1);
        reply.add_answer(txt("x.test", &["forged"]));
        Some(reply)
    });
    let error = LookupError::Timeout(dns.resolvers[0]);
    assert_eq!(together(&[&dns]).txt("x.test").found, Found::Unknown(error));
}

#[test]
fn a_server_that_cannot_parse_the_query_is_heard_without_the_query() {
    let dns = serve(|_, _, mut reply| {
        reply.queries.clear();
        reply.metadata.response_code = ResponseCode::FormErr;
        Some(reply)
    });
    let error = LookupError::Refused(dns.resolvers[0], "FORMERR".to_owned());
    assert_eq!(together(&[&dns]).txt("x.test").found, Found::Unknown(error));
}

#[test]
fn a_server_that_breaks_off_by_tcp_is_not_waited_for() {
    let dns = serve(|by, _, mut reply| {
        reply.metadata.truncation = true;
        Some(reply).filter(|_| by == By::Udp)
    });
    let Found::Unknown(error) = dns.txt("x.test").found else { panic!() };
    assert!(matches!(error, LookupError::Broken(..)), "{error:?}");
}

#[test]
fn a_server_of_a_zone_has_addresses_of_both_kinds_and_they_are_looked_up_once() {
    let queries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&queries);
    let dns = serve(move |_, question, mut reply| {
        let name = asked(question);
        let data = match (name.as_str(), question.queries[0].query_type()) {
            ("x.test" | "y.test", RecordType::NS) => RData::NS(NS(parse("ns.test").unwrap())),
            ("ns.test", RecordType::A) => {
                counted.fetch_add(1, Ordering::SeqCst);
                RData::A(Ipv4Addr::new(192, 0, 2, 1).into())
            }
            ("ns.test", RecordType::AAAA) => RData::AAAA(Ipv6Addr::LOCALHOST.into()),
            _ => return Some(reply),
        };
        reply.add_answer(record(&name, data));
        Some(reply)
    });
    let wanted = [IpAddr::from([192, 0, 2, 1]), Ipv6Addr::LOCALHOST.into()];
    for zone in ["x.test", "y.test"] {
        assert_eq!(dns.authorities(zone).unwrap()[0].addresses, wanted);
    }
    assert_eq!(queries.load(Ordering::SeqCst), 1);
}

#[test]
fn a_server_without_an_answer_for_one_kind_of_address_has_the_other() {
    let dns = serve(|_, question, mut reply| {
        let kind = question.queries[0].query_type();
        if kind == RecordType::A {
            reply.metadata.response_code = ResponseCode::ServFail;
        } else if kind == RecordType::AAAA {
            reply.add_answer(record("ns.test", RData::AAAA(Ipv6Addr::LOCALHOST.into())));
        }
        Some(reply)
    });
    let server = parse("ns.test").unwrap();
    assert_eq!(dns.addresses(&server), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
}

#[test]
fn a_reply_by_tcp_must_be_for_the_query() {
    let dns = serve(|by, question, mut reply| {
        reply.metadata.truncation = by == By::Udp;
        if by == By::Tcp {
            reply.metadata.id = question.metadata.id.wrapping_add(1);
            reply.add_answer(txt("x.test", &["forged"]));
        }
        Some(reply)
    });
    let Found::Unknown(error) = dns.txt("x.test").found else { panic!() };
    assert!(matches!(error, LookupError::Broken(..)), "{error:?}");
}

#[test]
fn each_server_of_a_zone_is_queried_and_for_an_alias_those_of_the_other_zone() {
    let mut dns = serve(|_, question, mut reply| {
        let name = asked(question);
        let ns = |name| RData::NS(NS(parse(name).unwrap()));
        let address = |last| RData::A(Ipv4Addr::new(127, 0, 0, last).into());
        reply.metadata.authoritative = true;
        let records = match (name.as_str(), question.queries[0].query_type()) {
            ("x.test", RecordType::NS) => vec![ns("ns1.test"), ns("ns2.test")],
            ("y.test", RecordType::NS) => vec![ns("ns1.test")],
            ("w.test", RecordType::NS) => vec![ns("ns1.test"), ns("ns3.test")],
            ("ns1.test" | "ns3.test", RecordType::A) => vec![address(1)],
            // No server is running there.
            ("ns2.test", RecordType::A) => vec![address(9)],
            ("s.x.test", RecordType::TXT) => vec![RData::TXT(TXT::new(vec!["x".to_owned()]))],
            ("s.y.test" | "s.w.test", RecordType::TXT) => {
                vec![RData::CNAME(CNAME(parse("s.x.test").unwrap()))]
            }
            ("ring.y.test", RecordType::TXT) => {
                vec![RData::CNAME(CNAME(parse("ring.y.test").unwrap()))]
            }
            _ => Vec::new(),
        };
        reply.add_answers(records.into_iter().map(|data| record(&name, data)));
        Some(reply)
    });
    dns.port = dns.resolvers[0].port();
    // Both servers of w.test name the same alias.
    for name in ["s.x.test", "s.y.test", "s.w.test"] {
        let answers = dns.everywhere(name).unwrap();
        let [(one, has), (two, lacks)] = answers.as_slice() else { panic!("{name}: {answers:?}") };
        assert_eq!((one.as_str(), two.as_str()), ("ns1.test", "ns2.test"));
        assert_eq!(records(has), [b"x"]);
        assert!(matches!(lacks.found, Found::Unknown(LookupError::Broken(..))), "{lacks:?}");
    }
    assert_eq!(dns.everywhere("ring.y.test"), Err(LookupError::Aliases));
    assert_eq!(dns.everywhere("s.z.test"), Err(LookupError::NoZone("s.z.test".to_owned())));
}

#[test]
fn eight_aliases_in_a_row_are_followed_and_nine_are_not() {
    for (count, is_followed) in [(8, true), (9, false)] {
        let mut number = 0;
        let answer = Answer::of("0.test", |name| {
            let mut reply = Message::query().into_response();
            number += 1;
            reply.add_answer(match number > count {
                true => txt(&text(name), &["x"]),
                false => alias_of(&text(name), &format!("{number}.test")),
            });
            Ok(reply)
        });
        assert_eq!(answer.found == Found::Records(vec![b"x".to_vec()]), is_followed, "{answer:?}");
        assert_eq!(answer.found == Found::Unknown(LookupError::Aliases), !is_followed);
    }
}

#[test]
fn the_end_of_a_name_is_its_last_alias_or_itself() {
    let dns = serve(|_, question, mut reply| {
        match asked(question).as_str() {
            "a.test" => drop(reply.add_answer(alias_of("a.test", "b.test"))),
            "b.test" => reply.metadata.response_code = ResponseCode::NXDomain,
            "own.test" => {}
            _ => reply.metadata.response_code = ResponseCode::Refused,
        }
        Some(reply)
    });
    assert_eq!(dns.end_of("a.test"), Ok("b.test".to_owned()));
    assert_eq!(dns.end_of("own.test"), Ok("own.test".to_owned()));
    assert!(matches!(dns.end_of("refused.test"), Err(LookupError::Refused(..))));
}

#[test]
fn the_time_for_all_lookups_grows_with_the_names_and_by_the_time_spent_elsewhere() {
    let dns = Dns::new(Vec::new(), Wait::DEFAULT);
    let seconds = |begun: Instant| dns.deadline().unwrap().duration_since(begun).as_secs();
    dns.extend(Duration::from_secs(60));
    assert_eq!(*dns.deadline(), None);
    let begun = Instant::now();
    dns.for_names(1_000);
    assert!((65..75).contains(&seconds(begun)), "{}", seconds(begun));
    dns.extend(Duration::from_secs(100));
    assert!((165..175).contains(&seconds(begun)), "{}", seconds(begun));
}

#[test]
fn resolv_conf_names_the_servers_and_how_long_to_wait_for_them() {
    for (options, timeout, attempts) in [
        ("", 5, 2),
        ("options timeout:7 attempts:3\n", 7, 3),
        ("options timeout:0 attempts:0\n", 1, 1),
        ("options attempts:99\n", 5, MOST_ATTEMPTS),
    ] {
        let text =
            format!("search x.test\nnameserver 192.0.2.2\nnameserver 2001:db8::1\n{options}");
        let dns = Dns::of_resolv_conf(text.as_bytes()).unwrap();
        let wanted = ["192.0.2.2:53", "[2001:db8::1]:53"].map(|text| text.parse().unwrap());
        assert_eq!(dns.resolvers, wanted);
        let wait = dns.bounds.wait;
        assert_eq!((wait.timeout.as_secs(), wait.attempts), (timeout, attempts), "{options}");
    }
    assert!(Dns::of_resolv_conf(b"search x.test\n").is_err());
}
