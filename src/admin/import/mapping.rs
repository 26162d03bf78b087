//! What becomes of each setting of opendkim.conf: taken, not needed here, or not to be had.

use super::data_set::Table;
use super::headers::headers;
use super::opendkim_conf::{Files, Setting, Settings};
use crate::config::Signing;

/// The three lists, and what goes into the files.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) taken: Vec<String>,
    pub(super) not_needed: Vec<String>,
    pub(super) not_to_be_had: Vec<String>,
    /// Lines for each domain file.
    pub(super) lines: String,
    /// `log_success`, for config.toml.
    pub(super) log_success: Option<bool>,
}

/// Where a setting ends.
enum End {
    Taken,
    /// As what.
    TakenAs(String),
    NotNeeded(&'static str),
    Lost(String),
}

fn lost(what: &str) -> End {
    End::Lost(what.to_owned())
}

impl Outcome {
    /// Sorts all settings. `host` is what holds without a line in the domain file.
    pub(super) fn of(settings: &Settings, host: &Signing, files: &dyn Files) -> Self {
        let mut outcome = Self::default();
        for fault in &settings.faults {
            outcome.not_to_be_had.push(format!("{fault}: mend it, and import again"));
        }
        for setting in &settings.all {
            let end = outcome.end(setting, settings, host, files);
            match end {
                End::Taken => outcome.taken.push(setting.to_string()),
                End::TakenAs(what) => outcome.taken.push(format!("{setting}: {what}")),
                End::NotNeeded(why) => outcome.not_needed.push(format!("{setting}: {why}")),
                End::Lost(what) => outcome.not_to_be_had.push(format!("{setting}: {what}")),
            }
        }
        let (lines, more) = headers(settings, host, files);
        outcome.lines.push_str(&lines);
        outcome.not_to_be_had.extend(more);
        outcome
    }

    fn end(
        &mut self,
        setting: &Setting,
        settings: &Settings,
        host: &Signing,
        files: &dyn Files,
    ) -> End {
        let name = setting.name.to_ascii_lowercase();
        match name.as_str() {
            "domain" | "keyfile" if settings.value("KeyTable").is_some() => {
                End::NotNeeded("beside a KeyTable OpenDKIM does not look at it either")
            }
            "mode" if setting.value.contains(['v', 'V']) => {
                End::TakenAs("signing; verifying of incoming mail stays OpenDKIM's (Mode v)".into())
            }
            "canonicalization" => self.canonicalization(&setting.value, host),
            "minimumkeybits" => self.minimum_key_bits(setting, host),
            "signaturettl" => self.lifetime(setting, host),
            "signaturealgorithm" => match setting.value.to_ascii_lowercase().as_str() {
                "rsa-sha256" | "ed25519-sha256" => End::TakenAs("the key says it".to_owned()),
                _ => End::TakenAs("as rsa-sha256: verifiers refuse rsa-sha1 (RFC 8301)".to_owned()),
            },
            "syslogsuccess" => {
                self.log_success = setting.truth();
                End::TakenAs("log_success".to_owned())
            }
            "internalhosts" | "externalignorelist" | "peerlist" => hosts(setting, files),
            "on-default" | "on-signatureerror" | "on-internalerror" => {
                self.on_error(settings, host);
                End::TakenAs("on_error".to_owned())
            }
            name if TABLES.contains(&name) => End::Taken,
            name => by_name(name, setting),
        }
    }

    fn line(&mut self, key: &str, value: &str) {
        let line = format!("{key} = {value}\n");
        if !self.lines.contains(&line) {
            self.lines.push_str(&line);
        }
    }

    fn canonicalization(&mut self, value: &str, host: &Signing) -> End {
        let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
        let text = format!("{}/{}", header.to_ascii_lowercase(), body.to_ascii_lowercase());
        match text.parse::<crate::dkim::Canonicalization>() {
            Ok(wanted) => {
                if wanted != host.canonicalization {
                    self.line("canonicalization", &format!("{text:?}"));
                }
                End::TakenAs(format!("canonicalization {text}"))
            }
            Err(error) => End::Lost(error.to_string()),
        }
    }

    fn minimum_key_bits(&mut self, setting: &Setting, host: &Signing) -> End {
        let Some(bits) = setting.number() else { return lost("no number") };
        let Some(bits) = u32::try_from(bits).ok().filter(|bits| *bits <= 4096) else {
            return lost("no key of that size is taken by verifiers; 4096 bits are the most");
        };
        if bits < 1024 {
            return lost("keys below 1024 bits are refused by verifiers (RFC 8301); 1024 holds");
        }
        if bits != host.minimum_key_bits {
            self.line("minimum_key_bits", &bits.to_string());
        }
        End::Taken
    }

    fn lifetime(&mut self, setting: &Setting, host: &Signing) -> End {
        let Some(seconds) = setting.number() else { return lost("no number") };
        let wanted = Some(seconds).filter(|seconds| *seconds > 0);
        if wanted != host.expire
            && let Some(seconds) = wanted
        {
            self.line("expire", &seconds.to_string());
        }
        End::TakenAs("expire".to_owned())
    }

    fn on_error(&mut self, settings: &Settings, host: &Signing) {
        // The worst that can happen while signing.
        let names = ["On-SignatureError", "On-InternalError", "On-Default"];
        let value = names.iter().find_map(|name| settings.value(name)).unwrap_or_default();
        let wanted = if value.to_ascii_lowercase().starts_with('a') { "send" } else { "refuse" };
        let is_refuse = host.on_error == crate::config::OnError::Refuse;
        if is_refuse != (wanted == "refuse") {
            self.line("on_error", &format!("{wanted:?}"));
        }
    }
}

/// Whose SMTP mail was signed: of no concern to sendmail(1), and lost for other hosts.
fn hosts(setting: &Setting, files: &dyn Files) -> End {
    if !setting.is("InternalHosts") {
        return End::NotNeeded("no mail of other hosts passes here");
    }
    const LOCAL: [&str; 5] = ["127.0.0.1", "::1", "localhost", "127.0.0.0/8", "[::1]"];
    let table = match Table::read(&setting.value, files) {
        Ok(table) => table,
        Err(why) => return End::Lost(why),
    };
    let others = table.rows.iter().map(|row| row.key.as_str());
    let others: Vec<&str> = others.filter(|host| !LOCAL.contains(host)).collect();
    if others.is_empty() {
        return End::NotNeeded("what programs here give to sendmail is local");
    }
    End::Lost(format!(
        "mail that {} give to Postfix by SMTP does not pass sendmail; where that is signed by this \
         host, keep OpenDKIM as its milter for smtpd (smtpd_milters)",
        others.join(", ")
    ))
}

/// Settings that need no look at others.
fn by_name(name: &str, setting: &Setting) -> End {
    let end = of_daemon(name, setting).or_else(|| of_signer(name, setting));
    end.unwrap_or_else(|| match name {
        name if name.starts_with("on-") || VERIFIER_NAMES.contains(&name) => {
            End::NotNeeded("it is about verifying incoming mail")
        }
        name if name.starts_with("ldap") => lost("no LDAP; write the tables as files"),
        name if EXTINCT_NAMES.iter().any(|begin| name.starts_with(begin)) => {
            End::NotNeeded("OpenDKIM itself does nothing with it any more")
        }
        _ => lost("OpenDKIM has no setting of that name that is known here"),
    })
}

/// What makes OpenDKIM a daemon with a log.
fn of_daemon(name: &str, setting: &Setting) -> Option<End> {
    let is_off = setting.truth() == Some(false);
    Some(match name {
        "socket" | "pidfile" | "umask" | "background" | "autorestart" | "autorestartcount"
        | "autorestartrate" | "enablecoredumps" | "disablecryptoinit" | "softstart" => {
            End::NotNeeded("there is no daemon")
        }
        "userid" => {
            End::NotNeeded("there is no daemon; keys are root's, readable for group sendmail-dkim")
        }
        "logwhy" => End::NotNeeded("the reason is always logged"),
        "syslog" if is_off => lost("each message gets a line; filter ident sendmail-dkim"),
        "syslog" => End::NotNeeded("each message gets a line"),
        "syslogfacility" if setting.value.eq_ignore_ascii_case("mail") => {
            End::NotNeeded("the facility is mail")
        }
        "syslogfacility" => lost("the facility is mail; filter by the ident sendmail-dkim"),
        "syslogname" => lost("the ident is sendmail-dkim"),
        "logresults" | "milterdebug" | "softwareheader" | "keeptemporaryfiles"
        | "temporarydirectory" | "statistics" | "statisticsname" | "statisticsprefix" => {
            End::NotNeeded("dkimctl explain shows what is done with a message")
        }
        "nameservers"
        | "dnstimeout"
        | "resolverconfiguration"
        | "trustanchorfile"
        | "testpublickeys"
        | "clockdrift"
        | "dnsconnect" => End::NotNeeded("nothing is looked up when mail is signed"),
        "changerootdirectory" => lost("move the keys out of it, and import again"),
        _ => return None,
    })
}

/// What has to do with the signing of single messages.
fn of_signer(name: &str, setting: &Setting) -> Option<End> {
    let is_off = setting.truth() == Some(false);
    Some(match name {
        "fixcrlf" => End::NotNeeded("line ends are always settled before the signature"),
        "requiresafekeys" if is_off => lost("a key that others can read is never used"),
        "requiresafekeys" => End::NotNeeded("a key that others can read is never used"),
        "senderheaders" if setting.value.eq_ignore_ascii_case("From") => {
            End::NotNeeded("the domain of From decides")
        }
        "senderheaders" => lost("the domain of From decides; receivers (DMARC) look there too"),
        "dontsignmailto" => lost("recipients do not count; send such mail by the real sendmail"),
        "removeoldsignatures" | "diagnostics" | "requestreports" | "requiredheaders" if is_off => {
            End::NotNeeded("it is off")
        }
        "removeoldsignatures" => lost("signatures of others stay, and are no harm"),
        "diagnostics" => lost("no z=; dkimctl verify and try show what was changed"),
        "requestreports" => lost("no r=y; ask for DMARC reports (rua=) instead"),
        "requiredheaders" => lost("a message with two From fields is sent, unsigned"),
        "bodylengthdb" | "maximumsignedbytes" => lost("no l=: it lets others add to a message"),
        "maximumheaders" | "strictheaders" | "ignoremalformedmail" => {
            End::NotNeeded("malformed mail is sent as it is")
        }
        "setuppolicyscript"
        | "screenpolicyscript"
        | "finalpolicyscript"
        | "conditionalsignatures"
        | "resignall"
        | "resignmailto"
        | "replacerules"
        | "replaceheaders"
        | "luaonlysigning"
        | "identityheader"
        | "identityheaderremove"
        | "sendermacro"
        | "defaultsender"
        | "selectcanonicalizationheader" => lost("there are no hooks and no per-message settings"),
        "mta" | "macrolist" | "popdbfile" => {
            lost("users and groups in the domain file say who may sign")
        }
        _ => return None,
    })
}

/// What the tree is made of, and what `headers` takes.
const TABLES: [&str; 13] = [
    "keytable",
    "signingtable",
    "domain",
    "keyfile",
    "selector",
    "subdomains",
    "multiplesignatures",
    "basedirectory",
    "exemptdomains",
    "signheaders",
    "omitheaders",
    "oversignheaders",
    "mode",
];

/// Beginnings of names that are gone: ADSP, VBR, reputation.
const EXTINCT_NAMES: [&str; 16] = [
    "adsp",
    "atps",
    "bogus",
    "disableadsp",
    "flowdata",
    "localadsp",
    "nodiscardablemailto",
    "ratelimit",
    "reputation",
    "sendadspreports",
    "unprotectedpolicy",
    "addallsignatureresults",
    "vbr",
    "x-header",
    "resolvconf",
    "domainkeyscompat",
];

const VERIFIER_NAMES: [&str; 24] = [
    "allowsha1only",
    "alwaysaddarheader",
    "authservid",
    "authservidwithjobid",
    "captureunknownerrors",
    "keepauthresults",
    "maximumsignaturestoverify",
    "minimum",
    "mtacommand",
    "mustbesigned",
    "noheaderb",
    "quarantine",
    "querycache",
    "redirectfailuresto",
    "removearall",
    "removearfrom",
    "reportaddress",
    "reportbccaddress",
    "sendreports",
    "smtpuri",
    "stricttestmode",
    "trustsignaturesfrom",
    "unprotectedkey",
    "weaksyntaxchecks",
];

#[cfg(test)]
mod tests {
    use super::super::opendkim_conf::tests::paper;
    use super::*;

    fn outcome(text: &str) -> Outcome {
        let files = paper(&[("/c", text), ("/hosts", "127.0.0.1\nlocalhost\n192.0.2.0/24\n")]);
        Outcome::of(&Settings::read("/c", &files).unwrap(), &Signing::default(), &files)
    }

    #[test]
    fn every_setting_ends_in_one_of_three_lists() {
        let text = "Canonicalization relaxed/relaxed\nMinimumKeyBits 1024\nSyslogSuccess yes\n\
            LogWhy yes\nUserID opendkim:opendkim\nSocket inet:8891@localhost\nSyslog yes\n\
            DontSignMailTo x@y.test\nNobodyKnows this\nOn-BadSignature accept\nADSPAction discard\n";
        let outcome = outcome(text);
        let lists = [&outcome.taken, &outcome.not_needed, &outcome.not_to_be_had];
        assert_eq!(lists.map(Vec::len), [3, 6, 2], "{outcome:#?}");
        assert_eq!((outcome.lines.as_str(), outcome.log_success), ("", Some(true)));
    }

    #[test]
    fn what_differs_from_the_host_becomes_a_line() {
        for (text, lines) in [
            ("Canonicalization simple", "canonicalization = \"simple/simple\"\n"),
            ("Canonicalization relaxed", "canonicalization = \"relaxed/simple\"\n"),
            ("MinimumKeyBits 2048", "minimum_key_bits = 2048\n"),
            ("SignatureTTL 1209600", "expire = 1209600\n"),
            ("SignatureTTL 0", ""),
            ("On-Default tempfail", "on_error = \"refuse\"\n"),
            ("On-Default reject\nOn-SignatureError accept\nOn-InternalError accept", ""),
        ] {
            let outcome = outcome(text);
            assert_eq!((outcome.lines.as_str(), outcome.not_to_be_had.len()), (lines, 0), "{text}");
        }
    }

    #[test]
    fn hosts_that_send_by_smtp_are_lost_and_said_to_be() {
        assert_eq!(outcome("InternalHosts 127.0.0.1").not_needed.len(), 1);
        let outcome = outcome("InternalHosts refile:/hosts\nExternalIgnoreList /hosts\n");
        assert!(outcome.not_to_be_had[0].contains("192.0.2.0/24"), "{outcome:?}");
        assert_eq!(outcome.not_needed.len(), 1);
    }

    #[test]
    fn small_keys_are_not_to_be_had() {
        assert_eq!(outcome("MinimumKeyBits 512").not_to_be_had.len(), 1);
    }
}
