//! Maps each setting of opendkim.conf: imported, not needed here, or not supported.

use std::borrow::Cow;
use std::fmt;

use super::clients::clients;
use super::data_set::Table;
use super::headers::headers;
use super::opendkim_conf::{Files, Setting, Settings};
use crate::admin::filter::Clients;
use crate::config::{OnError, Signing};
use crate::dkim::Canonicalization;
use Fate::{Imported, ImportedAs, NotNeeded, NotSupported};

/// The settings by result, and the lines for the files.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    pub(super) imported: Vec<String>,
    pub(super) not_needed: Vec<String>,
    pub(super) not_supported: Vec<String>,
    /// What the administrator should check.
    pub(super) warnings: Vec<String>,
    /// Lines for each domain file.
    pub(super) lines: String,
    /// `log_success`, for config.toml.
    pub(super) log_success: Option<bool>,
    /// Other hosts whose mail by SMTP is signed.
    pub(super) clients: Option<Clients>,
}

/// The result for a setting, and the reason.
pub(super) enum Fate {
    Imported,
    /// The new setting.
    ImportedAs(String),
    NotNeeded(&'static str),
    NotSupported(Cow<'static, str>),
}

fn not_supported(why: &'static str) -> Fate {
    NotSupported(why.into())
}

impl Mapping {
    /// Maps all settings. `host` has the settings that domain files inherit.
    pub(super) fn of(settings: &Settings, host: &Signing, files: &dyn Files) -> Self {
        let mut mapping = Self::default();
        for fault in &settings.faults {
            mapping.not_supported.push(format!("{fault}: fix this line, then import again"));
        }
        for setting in &settings.all {
            let fate = mapping.fate(setting, settings, host, files);
            mapping.add(&setting.to_string(), fate);
        }
        let (lines, more) = headers(settings, host, files);
        mapping.lines.push_str(&lines);
        mapping.not_supported.extend(more);
        mapping
    }

    /// Adds a setting to the list of its result.
    pub(super) fn add(&mut self, setting: &str, fate: Fate) {
        match fate {
            Imported => self.imported.push(setting.to_owned()),
            ImportedAs(what) => self.imported.push(format!("{setting}: {what}")),
            NotNeeded(why) => self.not_needed.push(format!("{setting}: {why}")),
            NotSupported(why) => self.not_supported.push(format!("{setting}: {why}")),
        }
    }

    fn fate(
        &mut self,
        setting: &Setting,
        settings: &Settings,
        host: &Signing,
        files: &dyn Files,
    ) -> Fate {
        let name = setting.name.to_ascii_lowercase();
        match name.as_str() {
            "domain" | "keyfile" | "selector" | "subdomains"
                if settings.value("KeyTable").is_some() =>
            {
                NotNeeded("OpenDKIM also ignores it if there is a KeyTable")
            }
            "multiplesignatures" if settings.value("KeyTable").is_none() => {
                NotNeeded("OpenDKIM also ignores it if there is no SigningTable")
            }
            "mode" if setting.value.contains(['v', 'V']) => {
                ImportedAs("signing; OpenDKIM still verifies incoming mail (Mode v)".to_owned())
            }
            "canonicalization" => self.canonicalization(&setting.value, host),
            "minimumkeybits" => self.minimum_key_bits(setting, host),
            "signaturettl" => self.lifetime(setting, host),
            "signaturealgorithm" => match setting.value.to_ascii_lowercase().as_str() {
                "rsa-sha256" | "ed25519-sha256" => ImportedAs("the key type sets it".to_owned()),
                _ => ImportedAs("as rsa-sha256: verifiers refuse rsa-sha1 (RFC 8301)".to_owned()),
            },
            "syslogsuccess" => {
                self.log_success = setting.truth();
                ImportedAs("log_success".to_owned())
            }
            "internalhosts" => match Table::read(&setting.value, settings, files) {
                Ok(table) => self.hosts(&table),
                Err(why) => NotSupported(why.into()),
            },
            "on-default" | "on-signatureerror" | "on-internalerror" => {
                self.on_error(settings, host)
            }
            name => in_table(TABLE, name, setting).unwrap_or_else(|| {
                not_supported("no version of OpenDKIM has this setting; correct its name")
            }),
        }
    }

    /// Adds a line, unless domain files inherit its value.
    pub(super) fn line<T: fmt::Debug + PartialEq + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
        inherited: &T,
    ) {
        let line = format!("{key} = {value:?}\n");
        if value != inherited && !self.lines.contains(&line) {
            self.lines.push_str(&line);
        }
    }

    /// The hosts whose mail by SMTP is signed.
    pub(super) fn hosts(&mut self, table: &Table) -> Fate {
        let Some(found) = clients(table) else {
            return NotNeeded("mail that programs submit with sendmail is local");
        };
        let left_out = found.left_out.join("; ");
        self.clients = Some(found);
        if left_out.is_empty() {
            return ImportedAs("the table of clients for dkimctl setup --smtp".to_owned());
        }
        NotSupported(format!("not clients of this host: {left_out}").into())
    }

    fn canonicalization(&mut self, value: &str, host: &Signing) -> Fate {
        let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
        let text = format!("{header}/{body}").to_ascii_lowercase();
        if let Err(error) = text.parse::<Canonicalization>() {
            return NotSupported(error.to_string().into());
        }
        self.line("canonicalization", &text, &host.canonicalization.to_string());
        ImportedAs(format!("canonicalization {text}"))
    }

    fn minimum_key_bits(&mut self, setting: &Setting, host: &Signing) -> Fate {
        match setting.number().map(u32::try_from) {
            None => not_supported("not a number"),
            Some(Ok(..1024)) => not_supported(
                "verifiers refuse keys of fewer than 1024 bits (RFC 8301); the minimum stays 1024",
            ),
            Some(Ok(bits @ ..=4096)) => {
                self.line("minimum_key_bits", &bits, &host.minimum_key_bits);
                Imported
            }
            Some(_) => not_supported("verifiers accept no keys of more than 4096 bits"),
        }
    }

    fn lifetime(&mut self, setting: &Setting, host: &Signing) -> Fate {
        let Some(seconds) = setting.number() else { return not_supported("not a number") };
        if seconds > 0 {
            self.line("expire", &seconds, &host.expire.unwrap_or_default());
        }
        ImportedAs("expire".to_owned())
    }

    fn on_error(&mut self, settings: &Settings, host: &Signing) -> Fate {
        // The most severe result of an error while signing.
        let names = ["On-SignatureError", "On-InternalError"];
        let values = names.map(|name| settings.value(name).or(settings.value("On-Default")));
        let text = |is_sent| if is_sent { "send" } else { "refuse" };
        let is_sent = values.iter().flatten().all(|value| value.starts_with(['a', 'A']));
        self.line("on_error", text(is_sent), text(host.on_error == OnError::Send));
        ImportedAs("on_error".to_owned())
    }
}

/// The results for all other settings; the first lines of the file explain its format.
const TABLE: &str = include_str!("settings.txt");

/// The result for a setting in a table. `name` is in lower case.
pub(super) fn in_table(table: &'static str, name: &str, setting: &Setting) -> Option<Fate> {
    let fits = |rule: &str| match (rule.split_once('='), rule.strip_suffix('*')) {
        (Some((known, "no")), _) => known == name && setting.truth() == Some(false),
        (Some((known, value)), _) => known == name && setting.value.eq_ignore_ascii_case(value),
        (None, Some(begin)) => name.starts_with(begin),
        (None, None) => rule == name,
    };
    table.lines().find_map(|line| {
        let (fate, rest) = line.split_once(" | ")?;
        let (names, why) = rest.split_once(" | ")?;
        names.split(' ').any(fits).then(|| match fate.trim_end() {
            "imported" => Imported,
            "not needed" => NotNeeded(why),
            _ => NotSupported(why.into()),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::opendkim_conf::tests::paper;
    use super::*;

    fn outcome(text: &str) -> Mapping {
        let files = paper(&[("/c", text), ("/hosts", "127.0.0.1\nlocalhost\n192.0.2.0/24\n")]);
        Mapping::of(&Settings::read("/c", &files).unwrap(), &Signing::default(), &files)
    }

    #[test]
    fn every_setting_ends_in_one_of_three_lists() {
        let text = "Canonicalization relaxed/relaxed\nMinimumKeyBits 1024\nSyslogSuccess yes\n\
            LogWhy yes\nUserID opendkim:opendkim\nSocket inet:8891@localhost\nSyslog yes\n\
            DontSignMailTo x@y.test\nNobodyKnows this\nOn-BadSignature accept\nADSPAction discard\n";
        let outcome = outcome(text);
        let lists = [&outcome.imported, &outcome.not_needed, &outcome.not_supported];
        assert_eq!(lists.map(Vec::len), [3, 6, 2], "{outcome:#?}");
        assert_eq!((outcome.lines.as_str(), outcome.log_success), ("", Some(true)));
    }

    #[test]
    fn what_differs_from_the_host_becomes_a_line() {
        for (text, lines) in [
            ("Canonicalization simple", "canonicalization = \"simple/simple\"\n"),
            ("Canonicalization relaxed", "canonicalization = \"relaxed/simple\"\n"),
            ("MinimumKeyBits 2048", "minimum_key_bits = 2048\n"),
            ("MinimumKeyBits 4096", "minimum_key_bits = 4096\n"),
            ("SignatureTTL 1209600", "expire = 1209600\n"),
            ("SignatureTTL 0", ""),
            ("On-Default tempfail", "on_error = \"refuse\"\n"),
            ("On-Default reject\nOn-SignatureError accept\nOn-InternalError accept", ""),
            ("On-SignatureError Accept", ""),
            ("On-InternalError tempfail\nOn-SignatureError accept", "on_error = \"refuse\"\n"),
            ("On-Default tempfail\nOn-SignatureError accept", "on_error = \"refuse\"\n"),
            ("On-Default accept\nOn-InternalError tempfail", "on_error = \"refuse\"\n"),
        ] {
            let outcome = outcome(text);
            assert_eq!((outcome.lines.as_str(), outcome.not_supported.len()), (lines, 0), "{text}");
        }
    }

    #[test]
    fn a_value_is_compared_with_that_of_config_toml() {
        let host = Signing {
            on_error: OnError::Refuse,
            canonicalization: "simple/simple".parse().unwrap(),
            minimum_key_bits: 2048,
            expire: Some(1_209_600),
            ..Signing::default()
        };
        for (text, lines) in [
            ("On-Default accept", "on_error = \"send\"\n"),
            ("On-Default tempfail", ""),
            ("Canonicalization relaxed/relaxed", "canonicalization = \"relaxed/relaxed\"\n"),
            ("Canonicalization simple", ""),
            ("MinimumKeyBits 1024", "minimum_key_bits = 1024\n"),
            ("MinimumKeyBits 2048", ""),
            ("SignatureTTL 604800", "expire = 604800\n"),
            ("SignatureTTL 1209600", ""),
        ] {
            let files = paper(&[("/c", text)]);
            let mapping = Mapping::of(&Settings::read("/c", &files).unwrap(), &host, &files);
            assert_eq!(mapping.lines, lines, "{text}");
        }
    }

    #[test]
    fn verifying_is_left_to_opendkim_and_several_signatures_need_a_table() {
        let outcome = outcome("Mode sv\nMultipleSignatures yes\n");
        assert!(outcome.imported[0].contains("still verifies"), "{outcome:?}");
        assert!(outcome.not_needed[0].contains("MultipleSignatures"), "{outcome:?}");
    }

    #[test]
    fn hosts_that_send_by_smtp_are_imported_as_clients() {
        assert_eq!(outcome("InternalHosts 127.0.0.1").not_needed.len(), 1);
        let outcome = outcome("InternalHosts refile:/hosts\nExternalIgnoreList /hosts\n");
        assert!(outcome.imported[0].contains("the table of clients"), "{outcome:?}");
        assert!(outcome.clients.unwrap().addresses().contains("\n192.0.2.0/24 FILTER "));
        assert_eq!(outcome.not_needed.len(), 1);
    }

    /// All settings of all versions of OpenDKIM and `PhoenixDKIM`.
    const KNOWN: &str = "AddAllSignatureResults ADSPAction ADSPDiscard ADSPNoSuchDomain AlwaysAddARHeader AlwaysSignHeaders \
        AnonymousDomains AnonymousStatistics ATPSDomains ATPSHashAlgorithm AuthservID AuthservIDWithJobID \
        AutoRestart AutoRestartCount AutoRestartRate Background BaseDirectory BodyLengthDB BodyLengthDBFile \
        BodyLengths BogusKey BogusPolicy Canonicalization CaptureUnknownErrors ChangeRootDirectory \
        CheckSigningTable ClockDrift ConditionalSignatures DefaultSender DiagnosticDirectory Diagnostics \
        DisableADSP DisableCryptoInit DKIMReputationFail DKIMReputationPass DKIMReputationReject \
        DKIMReputationRoot DNSConnect DNSSECProbe DNSTimeout Domain DomainKeysCompat DontSignMailTo \
        EnableCoredumps ExemptDomains ExternalIgnoreList FinalPolicyScript FixCRLF FlowData FlowDataFactor \
        FlowDataTTL HttpAuthHeader HttpAuthToken HttpTimeout IdentityHeader IdentityHeaderRemove \
        IgnoreMalformedMail Include InsecureKey InsecurePolicy InternalHosts KeepAuthResults \
        KeepTemporaryFiles KeyFile KeyList KeyTable LDAPAuthMechanism LDAPAuthName LDAPAuthRealm \
        LDAPAuthUser LDAPBindPassword LDAPBindUser LDAPDisableCache LDAPKeepaliveIdle LDAPKeepaliveInterval \
        LDAPKeepaliveProbes LDAPSoftStart LDAPTimeout LDAPUseTLS LocalADSP LogResults LogWhy LuaOnlySigning \
        MacroList MaximumHeaders MaximumSignaturesToVerify MaximumSignedBytes MetricsAddr MetricsFile \
        MetricsInterval MilterDebug Minimum MinimumKeyBits Mode MTA MTACommand MultipleSignatures \
        MustBeSigned Nameservers NoDiscardableMailTo NoHeaderB NoLDAPCache OmitHeaders OmitHeadersDB \
        On-BadSignature On-Default On-DNSError On-InternalError On-KeyNotFound On-NoSignature On-PolicyError \
        On-ReputationError On-Security On-SignatureError On-SignatureMissing On-WeakAlgorithm \
        OverSignHeaders PeerList PidFile POPDBFile Quarantine QueryCache RateLimits RedirectFailuresTo \
        RemoveARAll RemoveARFrom RemoveOldSignatures ReplaceHeaders ReplaceRules ReportAddress \
        ReportBccAddress ReportIntervalDB ReputationCache ReputationCacheTTL ReputationDuplicates \
        ReputationFactor ReputationFail ReputationLimitModifiers ReputationLimits ReputationLowTime \
        ReputationMinimum ReputationPass ReputationRatios ReputationReject ReputationRoot \
        ReputationRRDHashDepth ReputationRRDRoot ReputationSpamCheck ReputationTest ReputationTimeFactor \
        ReputationTimeout ReputationTtest ReputationVerbose RequestReports RequiredHeaders RequireSafeKeys \
        ResignAll ResignMailTo ResolvConf ResolverConfigFile ResolverConfiguration ResolverTracing \
        ScreenPolicyScript SelectCanonicalizationHeader Selector SelectorHeader SelectorHeaderRemove \
        SendADSPReports SenderHeaders SenderMacro SendReports SetupPolicyScript SignatureAlgorithm \
        SignatureTTL SignHeaders SigningTable SingleAuthResult SMTPURI Socket SoftStart SoftwareHeader \
        Statistics StatisticsName StatisticsPolicyScript StatisticsPrefix StatsDHost StatsDPrefix Stdoutlog \
        StrictHeaders StrictSignAlgorithm StrictTestMode SubDomains Syslog SyslogFacility SyslogName \
        SyslogSuccess TemporaryDirectory TestDNSData TestPublicKeys TrustAnchorFile TrustSignaturesFrom \
        UMask UnboundConfigFile UnprotectedKey UnprotectedPolicy UserID VaultField VaultSelectorsField \
        VaultToken VBR-Certifiers VBR-PurgeFields VBR-TrustedCertifiers VBR-TrustedCertifiersOnly VBR-Type \
        WeakSyntaxChecks X-Header";

    #[test]
    fn settings_of_all_versions_are_known_and_other_names_are_not() {
        let is_unknown = |name: &str| {
            let outcome = outcome(&format!("{name} yes\n"));
            outcome.not_supported.iter().any(|text| text.contains("no version of OpenDKIM"))
        };
        for name in KNOWN.split(' ').filter(|name| *name != "Include") {
            assert!(!is_unknown(name), "{name}");
        }
        assert!(is_unknown("KeyTabel") && is_unknown("DiagnosticDirectories"));
    }

    #[test]
    fn what_opendkim_ignores_is_not_called_imported() {
        let tables = "KeyTable csl:a=b:c:/d\nSigningTable csl:a=a\n";
        let outcome = outcome(&format!("{tables}Selector s\nDomain x.test\nKeyFile /k\n"));
        assert_eq!(outcome.not_needed.len(), 3, "{outcome:?}");
        assert!(outcome.not_needed.iter().all(|text| text.contains("OpenDKIM also ignores it")));
    }

    #[test]
    fn sizes_of_keys_that_verifiers_refuse_are_not_supported() {
        for value in ["512", "1023", "4097", "99999999999", "x"] {
            let outcome = outcome(&format!("MinimumKeyBits {value}"));
            assert_eq!((outcome.not_supported.len(), outcome.lines.as_str()), (1, ""), "{value}");
        }
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_not_supported() {
        for (text, why) in [
            ("Selector\n", "/c:1: Selector has no value: fix this line, then import again"),
            ("Include /nowhere\n", "no such file: fix this line, then import again"),
            ("Canonicalization strict\n", "Canonicalization strict: "),
            ("SignatureTTL week\n", "SignatureTTL week: not a number"),
            ("SignHeaders file:/nowhere\n", "SignHeaders file:/nowhere: no such file"),
            ("InternalHosts /nowhere\n", "InternalHosts /nowhere: no such file"),
            ("InternalHosts 192.0.2.0/24,db:x\n", "not clients of this host: db:x"),
        ] {
            let lost = outcome(text).not_supported;
            assert!(lost.len() == 1 && lost[0].contains(why), "{text}{lost:?}");
        }
    }

    #[test]
    fn a_value_that_changes_nothing_here_is_not_reported() {
        for text in ["SenderHeaders From", "SyslogFacility MAIL", "Syslog 1", "RequireSafeKeys yes"]
        {
            assert_eq!(outcome(text).not_supported, Vec::<String>::new(), "{text}");
        }
    }

    /// Settings that are not supported whether they are on or off.
    const LOST: &str = "AlwaysSignHeaders BodyLengthDB BodyLengthDBFile BodyLengths Canonicalization \
        ChangeRootDirectory ConditionalSignatures DefaultSender DontSignMailTo FinalPolicyScript HttpAuthHeader \
        HttpAuthToken HttpTimeout IdentityHeader IdentityHeaderRemove KeyList LDAPAuthMechanism LDAPAuthName \
        LDAPAuthRealm LDAPAuthUser LDAPBindPassword LDAPBindUser LDAPSoftStart LuaOnlySigning MacroList \
        MaximumSignedBytes MinimumKeyBits MTA OmitHeadersDB POPDBFile ReplaceHeaders ReplaceRules ResignAll \
        ResignMailTo ScreenPolicyScript SelectCanonicalizationHeader SelectorHeader SelectorHeaderRemove \
        SenderHeaders SenderMacro SetupPolicyScript SignatureTTL SyslogFacility SyslogName VaultField \
        VaultSelectorsField VaultToken";

    #[test]
    fn only_these_settings_are_not_supported() {
        for (value, more) in [
            ("yes", "Diagnostics RemoveOldSignatures RequestReports RequiredHeaders"),
            ("no", "RequireSafeKeys Syslog"),
        ] {
            let is_lost =
                |name: &&str| !outcome(&format!("{name} {value}\n")).not_supported.is_empty();
            let lost = KNOWN.split(' ').filter(|name| *name != "Include").filter(is_lost);
            let wanted: BTreeSet<&str> = LOST.split(' ').chain(more.split(' ')).collect();
            assert_eq!(lost.collect::<BTreeSet<_>>(), wanted, "{value}");
        }
    }

    #[test]
    fn each_line_of_the_table_has_a_fate_names_and_a_reason() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
            assert!(["imported", "not needed", "not supported"].contains(&columns[0]), "{line}");
            assert!(columns.len() == 3 && columns.iter().all(|one| !one.is_empty()), "{line}");
        }
    }
}
