//! Texts about checks of vantages.

use super::Text;

/// Named after the check and the reason that it gives; `check-problem` and `check-warning` are for the others.
pub(super) const TEXTS: &[Text] = &[
    // Checks in general.
    Text {
        slug: "check-problem",
        en: ("The check {check} found a problem: {reason}", "Look at its facts: sekisho matrix --checks"),
        ja: ("{check} で問題が見つかりました: {reason}", "詳細を確認してください: sekisho matrix --checks"),
    },
    Text {
        slug: "check-warning",
        en: (
            "The check {check} found something that is not as it should be: {reason}",
            "Look at its facts: sekisho matrix --checks",
        ),
        ja: (
            "{check} で注意が必要な点が見つかりました: {reason}",
            "詳細を確認してください: sekisho matrix --checks",
        ),
    },
    // Resolvers.
    Text {
        slug: "resolver-no-resolver",
        en: (
            "The probe's host in {vantage} has no DNS resolver",
            "Configure a DNS server that knows {domain}, there and in what gives addresses out (DHCP) in {vantage}.",
        ),
        ja: (
            "{vantage} のプローブのホストに DNS サーバーが設定されていません",
            "そのホストと {vantage} の DHCP に、{domain} を解決できる DNS サーバーを設定してください。",
        ),
    },
    Text {
        slug: "resolver-no-resolver-answers",
        en: (
            "No DNS resolver of {vantage} answers",
            "Permit 53/udp and 53/tcp from {vantage} to its resolvers, or configure others that it reaches.",
        ),
        ja: (
            "{vantage} の DNS サーバーがどれも応答しません",
            "{vantage} から DNS サーバーへの 53/udp と 53/tcp を許可するか、到達できる DNS サーバーを設定してください。",
        ),
    },
    Text {
        slug: "resolver-resolver-error",
        en: (
            "A DNS resolver of {vantage} answers questions about {domain} with an error",
            "See to its forwarding or its zone of {domain}, or configure a domain controller as DNS server.",
        ),
        ja: (
            "{vantage} の DNS サーバーが {domain} の問い合わせにエラーを返します",
            "フォワーダーまたは {domain} のゾーンを確認するか、ドメインコントローラーを DNS サーバーに設定してください。",
        ),
    },
    Text {
        slug: "resolver-domain-unknown",
        en: (
            "A DNS resolver of {vantage} says that there is no {domain}",
            "Configure a domain controller as DNS server, or a forwarder for {domain} on that resolver.",
        ),
        ja: (
            "{vantage} の DNS サーバーは {domain} が存在しないと応答します",
            "ドメインコントローラーを DNS サーバーに設定するか、その DNS サーバーに {domain} の条件付きフォワーダーを設定してください。",
        ),
    },
    Text {
        slug: "resolver-no-dc-records",
        en: (
            "A DNS resolver of {vantage} knows {domain} and no SRV records of its domain controllers",
            "See that the zone _msdcs.{domain} is there, and let a domain controller register again: nltest /dsregdns",
        ),
        ja: (
            "{vantage} の DNS サーバーに {domain} のドメインコントローラーの SRV レコードがありません",
            "ゾーン _msdcs.{domain} の有無を確認し、ドメインコントローラーで再登録してください: nltest /dsregdns",
        ),
    },
    Text {
        slug: "resolver-external-resolver",
        en: (
            "{vantage} asks a DNS resolver outside that cannot know {domain}",
            "Configure a domain controller, or a server that forwards {domain} to one, as the only DNS servers.",
        ),
        ja: (
            "{vantage} は {domain} を知り得ない外部の DNS サーバーを使っています",
            "DNS サーバーには、ドメインコントローラーか {domain} を転送するサーバーだけを設定してください。",
        ),
    },
    Text {
        slug: "resolver-hijacked-resolver",
        en: (
            "What answers DNS questions of {vantage} is not the resolver that was asked",
            "Exempt 53/udp and 53/tcp from {vantage} from the interception of DNS on the way.",
        ),
        ja: (
            "{vantage} の DNS 問い合わせに、問い合わせ先とは別の装置が応答しています",
            "経路上の DNS の横取りから、{vantage} の 53/udp と 53/tcp を除外してください。",
        ),
    },
    Text {
        slug: "resolver-resolver-silent",
        en: (
            "One of the DNS resolvers of {vantage} is silent",
            "Permit 53/udp and 53/tcp to it, or remove it from the list.",
        ),
        ja: (
            "{vantage} の DNS サーバーの一部が応答しません",
            "そのサーバーへの 53/udp と 53/tcp を許可するか、一覧から外してください。",
        ),
    },
    Text {
        slug: "resolver-udp-only",
        en: (
            "A DNS resolver of {vantage} does not answer over TCP, which large answers need",
            "Permit 53/tcp from {vantage} to it.",
        ),
        ja: (
            "{vantage} の DNS サーバーが TCP で応答しません（大きな応答に必要です）",
            "{vantage} からの 53/tcp を許可してください。",
        ),
    },
    // Records.
    Text {
        slug: "srv-records-missing-records",
        en: (
            "DNS records of {domain} are missing that members look up",
            "Let the domain controllers register again (nltest /dsregdns) and see that the zone takes dynamic updates.",
        ),
        ja: (
            "メンバーが参照する {domain} の DNS レコードが不足しています",
            "ドメインコントローラーで再登録し（nltest /dsregdns）、ゾーンが動的更新を受け付けるか確認してください。",
        ),
    },
    Text {
        slug: "srv-records-no-dc-answers",
        en: (
            "None of the domain controllers that DNS names answers the locator of {vantage}",
            "Permit 389/udp from {vantage} to the domain controllers of {domain}.",
        ),
        ja: (
            "DNS に登録されたドメインコントローラーが、どれも {vantage} からの検索に応答しません",
            "{vantage} から {domain} のドメインコントローラーへの 389/udp を許可してください。",
        ),
    },
    Text {
        slug: "srv-records-no-writable-dc",
        en: (
            "{vantage} finds read-only domain controllers of {domain} alone",
            "Permit the way from {vantage} to a writable domain controller: a join needs one.",
        ),
        ja: (
            "{vantage} から見つかる {domain} のドメインコントローラーは読み取り専用だけです",
            "書き込み可能なドメインコントローラーへの通信を許可してください。参加に必要です。",
        ),
    },
    Text {
        slug: "srv-records-no-target-with-address",
        en: (
            "The domain controllers that the SRV records of {domain} name have no address in DNS",
            "Register their A records again on each of them: ipconfig /registerdns",
        ),
        ja: (
            "{domain} の SRV レコードが示すドメインコントローラーのアドレスが DNS にありません",
            "各ドメインコントローラーで A レコードを再登録してください: ipconfig /registerdns",
        ),
    },
    Text {
        slug: "srv-records-targets-without-address",
        en: (
            "SRV records of {domain} name hosts that have no address",
            "Remove the records of hosts that are gone, and register the others again: ipconfig /registerdns",
        ),
        ja: (
            "{domain} の SRV レコードに、アドレスのないホストがあります",
            "廃止済みホストのレコードを削除し、残りは再登録してください: ipconfig /registerdns",
        ),
    },
    Text {
        slug: "srv-records-stale-targets",
        en: (
            "SRV records of {domain} name hosts at whose address another one answers",
            "Correct or remove the address records of these hosts.",
        ),
        ja: (
            "{domain} の SRV レコードが示すアドレスで、別のホストが応答しています",
            "該当ホストのアドレスレコードを修正または削除してください。",
        ),
    },
    Text {
        slug: "srv-records-dead-targets",
        en: (
            "SRV records of {domain} name hosts that are no domain controllers any more",
            "Remove the records, and the metadata of the domain controllers that are gone.",
        ),
        ja: (
            "{domain} の SRV レコードに、既にドメインコントローラーでないホストがあります",
            "レコードと、廃止したドメインコントローラーのメタデータを削除してください。",
        ),
    },
    Text {
        slug: "srv-records-targets-unanswered",
        en: (
            "Some domain controllers that DNS names do not answer the locator of {vantage}",
            "Permit 389/udp from {vantage} to each of them, or remove the records of those that are gone.",
        ),
        ja: (
            "DNS に登録されたドメインコントローラーの一部が、{vantage} からの検索に応答しません",
            "それぞれへの 389/udp を許可するか、廃止済みのもののレコードを削除してください。",
        ),
    },
    Text {
        slug: "srv-records-duplicate-records",
        en: ("SRV records of {domain} stand twice", "Remove the duplicates from the zone."),
        ja: ("{domain} の SRV レコードが重複しています", "ゾーンから重複を削除してください。"),
    },
    Text {
        slug: "srv-records-wrong-ports",
        en: (
            "SRV records of {domain} name wrong ports",
            "Correct them, or remove them and let the domain controllers register again.",
        ),
        ja: (
            "{domain} の SRV レコードのポートが誤っています",
            "修正するか、削除してドメインコントローラーで再登録してください。",
        ),
    },
    Text {
        slug: "srv-records-no-client-site",
        en: (
            "{domain} knows no site of the subnet of {vantage}, so members take any domain controller",
            "Add the subnet to a site in Active Directory Sites and Services.",
        ),
        ja: (
            "{vantage} のサブネットが {domain} のサイトに登録されておらず、任意のドメインコントローラーが使われます",
            "「Active Directory サイトとサービス」でサブネットをサイトに追加してください。",
        ),
    },
    // Clocks.
    Text {
        slug: "clock-clock-offset",
        en: (
            "The clocks of {target} and of the probe in {vantage} are minutes apart; Kerberos tolerates five",
            "Set whichever is wrong: w32tm /query /status on {target}, timedatectl on the probe's host. A member takes its time from the domain.",
        ),
        ja: (
            "{target} と {vantage} のプローブの時計が数分以上ずれています（Kerberos の許容は 5 分）",
            "ずれている側を直してください: {target} では w32tm /query /status、プローブのホストでは timedatectl。メンバーはドメインから時刻を得ます。",
        ),
    },
    Text {
        slug: "clock-sources-disagree",
        en: (
            "The services of {target} tell different times: another machine may answer one of them",
            "Compare them in the facts, and look for a device that answers time or Kerberos in the place of {target}.",
        ),
        ja: (
            "{target} のサービスごとに時刻が異なります（別の装置が応答している可能性）",
            "詳細で比較し、{target} の代わりに時刻や Kerberos に応答する装置がないか確認してください。",
        ),
    },
    // Paths.
    Text {
        slug: "path-mtu-tcp-black-hole",
        en: (
            "Full-sized packets of connections between {vantage} and {target} vanish",
            "Permit ICMP \"fragmentation needed\" (3/4; IPv6 2/0) on the way, or clamp the MSS at the tunnel.",
        ),
        ja: (
            "{vantage} と {target} の間で、TCP の大きなパケットが失われます",
            "経路上で ICMP の「フラグメント要求」（3/4、IPv6 は 2/0）を許可するか、トンネルで MSS を調整してください。",
        ),
    },
    Text {
        slug: "path-mtu-udp-black-hole",
        en: (
            "Large datagrams between {vantage} and {target} vanish; connections get through",
            "Permit ICMP \"fragmentation needed\" on the way; Kerberos and LDAP fall back to TCP where that is open.",
        ),
        ja: (
            "{vantage} と {target} の間で、大きな UDP データグラムが失われます（TCP は通ります）",
            "経路上で ICMP の「フラグメント要求」を許可してください。",
        ),
    },
    Text {
        slug: "path-mtu-fragments-dropped",
        en: (
            "Fragments between {vantage} and {target} are dropped",
            "Permit fragments of UDP between them on the firewalls of the way.",
        ),
        ja: (
            "{vantage} と {target} の間でフラグメントが破棄されます",
            "経路上のファイアウォールで UDP フラグメントを許可してください。",
        ),
    },
    Text {
        slug: "path-mtu-narrow-path",
        en: (
            "The path between {vantage} and {target} carries packets of 1300 octets at most",
            "Look for a tunnel on the way that takes too much, and raise its MTU.",
        ),
        ja: (
            "{vantage} と {target} の間の経路は 1300 オクテット以下のパケットしか通しません",
            "経路上のトンネルを確認し、MTU を大きくしてください。",
        ),
    },
    // Computer accounts.
    Text {
        slug: "computer-account-account-exists",
        en: (
            "An account named {computer} exists in {domain}",
            "Join with the account that made it, or delete it first, but only if no computer uses it: a join by another is refused with \
             2732 (NERR_AccountReuseBlockedByPolicy) unless a domain administrator made or owns it, or a policy allows it.",
        ),
        ja: (
            "{domain} に {computer} というアカウントが既にあります",
            "作成したアカウントで参加するか、どのコンピューターにも使われていない場合に限り、先に削除してください。ドメイン管理者が作成または\
             所有しているか、ポリシーで許可されている場合を除き、別のアカウントでの参加は 2732（NERR_AccountReuseBlockedByPolicy）で拒否されます。",
        ),
    },
    Text {
        slug: "computer-account-account-disabled",
        en: (
            "An account named {computer} exists in {domain} and is disabled",
            "Enable it or delete it before the join.",
        ),
        ja: (
            "{domain} に {computer} という無効なアカウントがあります",
            "参加の前に有効化するか削除してください。",
        ),
    },
    Text {
        slug: "computer-account-account-of-a-dc",
        en: ("{computer} is the name of a domain controller of {domain}", "Give the computer another name."),
        ja: (
            "{computer} は {domain} のドメインコントローラーの名前です",
            "コンピューターに別の名前を付けてください。",
        ),
    },
    Text {
        slug: "computer-account-bad-name",
        en: (
            "{computer} is a name that no computer of a domain can have",
            "Give the computer another name: at most 15 letters, digits and hyphens.",
        ),
        ja: (
            "{computer} はドメインのコンピューター名として使えません",
            "15 文字以内の英数字とハイフンの名前にしてください。",
        ),
    },
    // The probe's machine.
    Text {
        slug: "host-clock-unsynchronised",
        en: (
            "The clock of the probe's host in {vantage} is not kept by a time service",
            "Run a time service there: what is said of clocks is measured against it.",
        ),
        ja: (
            "{vantage} のプローブのホストの時計が同期されていません",
            "時刻同期サービスを動かしてください。時計の比較はこのホストが基準です。",
        ),
    },
    Text {
        slug: "host-local-firewall",
        en: (
            "The probe's host in {vantage} filters what it sends",
            "See that its own rules pass what it is to test.",
        ),
        ja: (
            "{vantage} のプローブのホストは送信を自身で制限しています",
            "試験対象の通信がホスト自身のルールで通るか確認してください。",
        ),
    },
    Text {
        slug: "host-small-mtu",
        en: (
            "The interface of the probe's host in {vantage} has an MTU of 1300 or less",
            "See whether other computers of {vantage} have it too.",
        ),
        ja: (
            "{vantage} のプローブのホストのインターフェースの MTU が 1300 以下です",
            "{vantage} の他のコンピューターも同じか確認してください。",
        ),
    },
];
