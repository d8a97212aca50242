//! Texts about flows, and about what is not known.

use super::Text;

/// Blocked flows by their cause, and what nobody tested.
pub(super) const TEXTS: &[Text] = &[
    // Flows, by cause.
    Text {
        slug: "path-filter",
        en: (
            "{device} blocks {service} ({port}, {need}) to {target}",
            "Ask whoever runs {device} to permit {port} from {source} to {target} ({address}), then sweep again.",
        ),
        ja: (
            "{device}が {target} への {service}（{port}、{need}）を遮断しています",
            "{device}の管理者に、{source} から {target}（{address}）への {port} の許可を依頼し、再度スイープしてください。",
        ),
    },
    Text {
        slug: "host-filter",
        en: (
            "The firewall of {target} itself blocks {service} ({port}, {need})",
            "Permit {port} from {source} in the firewall of {target} ({address}), then sweep again.",
        ),
        ja: (
            "{target} 自身のファイアウォールが {service}（{port}、{need}）を遮断しています",
            "{target}（{address}）のファイアウォールで {source} からの {port} を許可し、再度スイープしてください。",
        ),
    },
    Text {
        slug: "service-down",
        en: (
            "{service} ({port}, {need}) on {target} does not work",
            "Find out on {target} ({address}) why the service is not running or does not answer; nothing on the way blocks it.",
        ),
        ja: (
            "{target} の {service}（{port}、{need}）が動作していません",
            "{target}（{address}）でサービスが停止していないか、応答しない原因を確認してください。経路上の遮断ではありません。",
        ),
    },
    Text {
        slug: "host-down",
        en: (
            "{target} is not there: {service} ({port}, {need})",
            "Find out whether {target} ({address}) is switched on; if it is gone for good, remove its records from DNS.",
        ),
        ja: (
            "{target} が存在しません: {service}（{port}、{need}）",
            "{target}（{address}）が起動しているか確認してください。廃止済みであれば DNS からレコードを削除してください。",
        ),
    },
    Text {
        slug: "vantage-down",
        en: (
            "{vantage} reaches nothing, so not {service} ({port}, {need}) on {target}",
            "Look at switch port, VLAN and gateway of {source}, then sweep again.",
        ),
        ja: (
            "{vantage} からはどこにも到達できないため、{target} の {service}（{port}、{need}）にも到達できません",
            "{source} のスイッチポート、VLAN、ゲートウェイを確認し、再度スイープしてください。",
        ),
    },
    Text {
        slug: "routing",
        en: (
            "There is no way from {source} to {target} for {service} ({port}, {need}), as {device} says",
            "Ask whoever runs the routers for a route from {source} to {target} ({address}) and back.",
        ),
        ja: (
            "{source} から {target} の {service}（{port}、{need}）への経路がありません（{device}の応答による）",
            "ルーターの管理者に、{source} と {target}（{address}）の間の往復の経路を依頼してください。",
        ),
    },
    Text {
        slug: "middlebox",
        en: (
            "Something on the way answers {service} ({port}, {need}) for {target}, or takes its packets",
            "Exempt {port} from {source} to {target} ({address}) from inspection by firewalls and proxies on the way.",
        ),
        ja: (
            "経路上の装置が {target} の {service}（{port}、{need}）に代わりに応答しているか、パケットを破棄しています",
            "{source} から {target}（{address}）への {port} を、経路上のファイアウォールやプロキシの検査対象から除外してください。",
        ),
    },
    Text {
        slug: "cause-unknown",
        en: (
            "{service} ({port}, {need}) on {target} does not work, and no open flow proves where the fault lies",
            "Ask for {port} from {source} to {target} ({address}) on the firewalls of the way and on {target} itself; a probe in a \
             vantage from which it works would tell which.",
        ),
        ja: (
            "{target} の {service}（{port}、{need}）が使えません。原因の場所を示す開通済みのフローがありません",
            "{source} から {target}（{address}）への {port} を、経路上のファイアウォールと {target} 自身の両方で確認してください。\
             到達できる測定地点にプローブを置くと原因を特定できます。",
        ),
    },
    Text {
        slug: "read-only",
        en: (
            "{target} is a read-only domain controller, which an ordinary join does not take",
            "Computers join through a writable domain controller: see that {source} reaches one besides {target} ({address}).",
        ),
        ja: (
            "{target} は読み取り専用ドメインコントローラーのため、通常のドメイン参加には使われません",
            "参加には書き込み可能なドメインコントローラーが必要です。{source} から {target}（{address}）以外に到達できるか確認してください。",
        ),
    },
    // What is not known.
    Text {
        slug: "not-tested",
        en: (
            "Not tested on {target}: {services}",
            "Sweep with a profile that has them, such as domain-join, and see that the probe of {vantage} is online and its scope \
             allows {target}: sekisho probe list",
        ),
        ja: (
            "{target} で試験していないサービス: {services}",
            "これらを含むプロファイル（domain-join など）でスイープし、{vantage} のプローブがオンラインで、スコープが {target} を許可しているか確認してください: sekisho probe list",
        ),
    },
    Text {
        slug: "no-target",
        en: (
            "The sweep knows no domain controller of {domain}",
            "List them as [[target]] in the inventory, or see to the SRV records of {domain} that {vantage} gets.",
        ),
        ja: (
            "スイープには {domain} のドメインコントローラーがありません",
            "インベントリに [[target]] として記載するか、{vantage} で得られる {domain} の SRV レコードを確認してください。",
        ),
    },
    Text {
        slug: "not-in-sweep",
        en: (
            "The sweep has nothing of {domain} from {vantage}",
            "Sweep it: sekisho sweep run --vantage {vantage} --domain {domain} --wait",
        ),
        ja: (
            "スイープに {vantage} から {domain} への結果がありません",
            "スイープしてください: sekisho sweep run --vantage {vantage} --domain {domain} --wait",
        ),
    },
    Text {
        slug: "sweep-running",
        en: ("The sweep is still running", "Wait for its end: sekisho sweep watch latest"),
        ja: ("スイープは実行中です", "終了を待ってください: sekisho sweep watch latest"),
    },
    Text {
        slug: "check-missing",
        en: (
            "The sweep did not check {check}",
            "Sweep with a profile that does: sekisho sweep run --profile domain-join --vantage {vantage} --wait",
        ),
        ja: (
            "スイープは {check} を確認していません",
            "確認を含むプロファイルでスイープしてください: sekisho sweep run --profile domain-join --vantage {vantage} --wait",
        ),
    },
    Text {
        slug: "check-unknown",
        en: (
            "The check {check} could not be done: {reason}",
            "See that the probe of {vantage} is online, up to date, and allowed to do it by its scope, then sweep again: sekisho probe list",
        ),
        ja: (
            "{check} を確認できませんでした: {reason}",
            "{vantage} のプローブがオンラインで最新であり、スコープで許可されているか確認し、再度スイープしてください: sekisho probe list",
        ),
    },
    Text {
        slug: "join-rights-not-checked",
        en: (
            "Whether an account may join computers was not checked: a controller has no credentials",
            "Ask from a host of {vantage}: sekisho-probe check {domain} --check join-rights --join-user USER",
        ),
        ja: (
            "アカウントの参加権限は確認していません（コントローラーは資格情報を持ちません）",
            "{vantage} のホストで確認してください: sekisho-probe check {domain} --check join-rights --join-user USER",
        ),
    },
];
