//! Usage as OGF usage records: "Usage Record – Format Recommendation", version 1.0, OGF GFD.98, in XML. One record for each
//! order; the order of its elements is that of the schema (GFD.98, section 10.1).
//!
//! GFD.98 was made for batch jobs; machines are written as EGI's federated cloud did when it extended it (Federated Cloud
//! task force, scenario 4, 2011): the status says whether an instance runs (`started`), is suspended or ended
//! (`completed`), `StartTime` is always there, `EndTime` once it has ended, and a record may be sent again under the same
//! id with larger figures.
//!
//! | element | what stands there |
//! |---|---|
//! | `RecordIdentity` | `urn:archipel:usage:SITE:ORDER:FROM` and when it was made; the same range has the same id |
//! | `JobIdentity` | the order's tag in the cloud, and what the cloud calls the instance |
//! | `UserIdentity` | subject, and `ISSUER/SUBJECT` |
//! | `Status` | `started`, `suspended`, `failed`, `completed` |
//! | `Memory`, `Disk`, `Processors` | what it had last; left out where it is none, because they are positive numbers |
//! | `TimeDuration` | time in each class but `running`, by `type` |
//! | `WallDuration` | time in `running` |
//! | `MachineName`, `Queue`, `SubmitHost`, `ProjectName` | providing site, cloud, requesting site, group |
//! | `ConsumableResource` | each amount times seconds, by class: what invoices are made of |

use archipel_model::Timestamp;
use archipel_orders::usage::{Class, OrderUsage, Seconds};

/// The namespace of GFD.98.
const NAMESPACE: &str = "http://schema.ogf.org/urf/2003/09/urf";

/// A document of records, made at `now`, for the range from `from` (`None` = the beginning).
pub(crate) fn document(
    orders: &[OrderUsage],
    from: Option<Timestamp>,
    to: Timestamp,
    now: Timestamp,
) -> String {
    let mut xml = Xml(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    xml.open("UsageRecords", &[("xmlns:urf", NAMESPACE)]);
    for usage in orders {
        record(&mut xml, usage, from, to, now);
    }
    xml.close("UsageRecords");
    xml.0
}

fn record(xml: &mut Xml, usage: &OrderUsage, from: Option<Timestamp>, to: Timestamp, now: Timestamp) {
    let account = &usage.account;
    let used = |class: Class| -> Seconds {
        let found = usage.classes.iter().find(|(known, ..)| *known == class);
        found.map(|(_, before, after)| after.since(*before)).unwrap_or_default()
    };
    let ended = account.ended_at.filter(|ended| *ended <= to);
    let status = match usage.last.map(|(class, _)| class) {
        _ if ended.is_some() => "completed",
        Some(Class::Failed) => "failed",
        Some(Class::Paused | Class::Stopped | Class::Hibernated) => "suspended",
        Some(Class::Running) | None => "started",
    };
    let range = from.map_or_else(|| "beginning".to_owned(), |from| from.to_string());
    let id = format!("urn:archipel:usage:{}:{}:{range}", account.site, account.order);
    xml.open("JobUsageRecord", &[]);
    xml.empty("RecordIdentity", &[("urf:recordId", &id), ("urf:createTime", &now.to_string())]);
    xml.open("JobIdentity", &[]);
    xml.text("GlobalJobId", &[], &format!("archipel:{}:{}", account.site, account.order));
    if let Some(instance) = &account.instance {
        xml.text("LocalJobId", &[], instance);
    }
    xml.close("JobIdentity");
    xml.open("UserIdentity", &[]);
    xml.text("LocalUserId", &[], &account.owner.subject);
    xml.text("GlobalUserName", &[], &format!("{}/{}", account.owner.issuer, account.owner.subject));
    xml.close("UserIdentity");
    if !account.name.is_empty() {
        xml.text("JobName", &[], &account.name);
    }
    xml.text("Status", &[("urf:description", account.kind.as_str())], status);
    let last = usage.last.map(|(_, amounts)| amounts).unwrap_or_default();
    let positive = |xml: &mut Xml, name: &str, attributes: &[(&str, &str)], amount: u64| {
        if amount > 0 {
            xml.text(name, attributes, &amount.to_string());
        }
    };
    positive(xml, "Disk", &[("urf:storageUnit", "GB"), ("urf:description", "GiB")], last.disk_gib);
    positive(xml, "Memory", &[("urf:storageUnit", "MB"), ("urf:description", "MiB")], last.ram_mib);
    for class in Class::ALL.into_iter().filter(|class| *class != Class::Running) {
        let seconds = used(class).instance_s;
        if seconds > 0 {
            xml.text("TimeDuration", &[("urf:type", class.as_str())], &format!("PT{seconds}S"));
        }
    }
    xml.text("WallDuration", &[], &format!("PT{}S", used(Class::Running).instance_s));
    positive(xml, "Processors", &[("urf:description", "vcpu")], last.vcpu);
    if let Some(ended) = ended {
        xml.text("EndTime", &[], &ended.to_string());
    }
    xml.text("StartTime", &[], &account.started_at.to_string());
    xml.text("MachineName", &[], account.site.as_str());
    xml.text("SubmitHost", &[], account.requesting_site.as_str());
    xml.text("Queue", &[], account.cloud.as_str());
    if let Some(group) = &account.group {
        xml.text("ProjectName", &[], group);
    }
    for class in Class::ALL {
        let Seconds { vcpu_s, ram_mib_s, disk_gib_s, .. } = used(class);
        for (units, amount) in [("vcpu.s", vcpu_s), ("MiB.s", ram_mib_s), ("GiB.s", disk_gib_s)] {
            if amount > 0 {
                let attributes = [("urf:units", units), ("urf:description", class.as_str())];
                xml.text("ConsumableResource", &attributes, &amount.to_string());
            }
        }
    }
    xml.close("JobUsageRecord");
}

/// XML that is written from front to back.
struct Xml(String);

impl Xml {
    fn begin(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push_str("<urf:");
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.escaped(value);
            self.0.push('"');
        }
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.begin(name, attributes);
        self.0.push_str(">\n");
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</urf:");
        self.0.push_str(name);
        self.0.push_str(">\n");
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.begin(name, attributes);
        self.0.push_str("/>\n");
    }

    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.begin(name, attributes);
        self.0.push('>');
        self.escaped(text);
        self.close(name);
    }

    /// What XML 1.0 has no character for becomes U+FFFD.
    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\t' | '\n' | '\r' => self.0.push_str(&format!("&#{};", u32::from(c))),
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::order::Kind;
    use archipel_model::plugin::Usage;
    use archipel_model::{OrderId, Owner};
    use archipel_orders::usage::{Account, Spent};

    use super::*;

    #[test]
    fn a_record_has_the_elements_of_the_schema_in_their_order() {
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        let order = OrderId::from_bytes([1; 16]);
        let account = Account {
            order,
            kind: Kind::Compute,
            name: "a<b>\u{1}".into(),
            owner: Owner { issuer: "https://idp".into(), subject: "ada".into() },
            user: "Ada".into(),
            group: Some("R&D".into()),
            cloud: "east".parse().unwrap(),
            site: "site-a.example.org".parse().unwrap(),
            requesting_site: "site-b.example.org".parse().unwrap(),
            instance: Some("i-1".into()),
            started_at: at(10),
            ended_at: Some(at(100)),
        };
        let spent = |s: i128| Spent { instances: s * 1000, vcpu: s * 2000, ram_mib: 0, disk_gib: s * 1000 };
        let classes = vec![
            (Class::Running, Spent::default(), spent(60)),
            (Class::Stopped, Spent::default(), spent(30)),
        ];
        let last = Some((Class::Stopped, Usage { instances: 1, vcpu: 2, ram_mib: 0, disk_gib: 1 }));
        let usage = OrderUsage { account, classes, last };
        let text = document(&[usage], Some(at(0)), at(1000), at(2000));
        let wanted = [
            "<urf:UsageRecords xmlns:urf=\"http://schema.ogf.org/urf/2003/09/urf\">",
            "<urf:RecordIdentity urf:recordId=\"urn:archipel:usage:site-a.example.org:01010101-0101-0101-0101-010101010101:1970-01-01T00:00:00.000Z\" urf:createTime=\"1970-01-01T00:33:20.000Z\"/>",
            "<urf:GlobalJobId>archipel:site-a.example.org:01010101-0101-0101-0101-010101010101</urf:GlobalJobId>",
            "<urf:LocalJobId>i-1</urf:LocalJobId>",
            "<urf:LocalUserId>ada</urf:LocalUserId>",
            "<urf:GlobalUserName>https://idp/ada</urf:GlobalUserName>",
            "<urf:JobName>a&lt;b&gt;\u{fffd}</urf:JobName>",
            "<urf:Status urf:description=\"compute\">completed</urf:Status>",
            "<urf:Disk urf:storageUnit=\"GB\" urf:description=\"GiB\">1</urf:Disk>",
            "<urf:TimeDuration urf:type=\"stopped\">PT30S</urf:TimeDuration>",
            "<urf:WallDuration>PT60S</urf:WallDuration>",
            "<urf:Processors urf:description=\"vcpu\">2</urf:Processors>",
            "<urf:EndTime>1970-01-01T00:01:40.000Z</urf:EndTime>",
            "<urf:StartTime>1970-01-01T00:00:10.000Z</urf:StartTime>",
            "<urf:MachineName>site-a.example.org</urf:MachineName>",
            "<urf:SubmitHost>site-b.example.org</urf:SubmitHost>",
            "<urf:Queue>east</urf:Queue>",
            "<urf:ProjectName>R&amp;D</urf:ProjectName>",
            "<urf:ConsumableResource urf:units=\"vcpu.s\" urf:description=\"running\">120</urf:ConsumableResource>",
            "<urf:ConsumableResource urf:units=\"GiB.s\" urf:description=\"stopped\">30</urf:ConsumableResource>",
            "</urf:UsageRecords>",
        ];
        let mut rest = text.as_str();
        for wanted in wanted {
            let at =
                rest.find(wanted).unwrap_or_else(|| panic!("{wanted} is not where it should be in {text}"));
            rest = &rest[at + wanted.len()..];
        }
        assert!(!text.contains("Memory"), "there was none, and it must be positive");
    }
}
