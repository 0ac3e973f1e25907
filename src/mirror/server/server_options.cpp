// The table of options and the rules between them. Runs in backends and in the mirror worker.
#include "mirror/server/server_options.hpp"

#include "kubernetes/credentials/kubeconfig.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

namespace dbnet::mirror {
namespace {

enum class Syntax {
    text,
    boolean,
    api_url,
    http_version,
    impersonate,
    impersonated,
    proxy_url,
    file,
    certificate,
    private_key,
    token
};

struct OptionRule {
    std::string_view name;
    OptionPlace place;
    Syntax syntax;
    bool reads_files; // makes the server process read a file that its owner may read
};

constexpr std::array rules{
    OptionRule{"api_url", OptionPlace::server, Syntax::api_url, false},
    OptionRule{"ca", OptionPlace::server, Syntax::certificate, false},
    OptionRule{"ca_file", OptionPlace::server, Syntax::file, true},
    OptionRule{"context", OptionPlace::server, Syntax::text, false},
    OptionRule{"events", OptionPlace::server, Syntax::boolean, false},
    OptionRule{"http_version", OptionPlace::server, Syntax::http_version, false},
    OptionRule{"impersonate", OptionPlace::server, Syntax::impersonate, false},
    OptionRule{"in_cluster", OptionPlace::server, Syntax::boolean, true},
    OptionRule{"insecure_skip_tls_verify", OptionPlace::server, Syntax::boolean, false},
    OptionRule{"kubeconfig", OptionPlace::server, Syntax::file, true},
    OptionRule{"lease", OptionPlace::server, Syntax::boolean, false},
    OptionRule{"lease_namespace", OptionPlace::server, Syntax::text, false},
    OptionRule{"offline", OptionPlace::server, Syntax::boolean, false},
    OptionRule{"proxy_url", OptionPlace::server, Syntax::proxy_url, false},
    OptionRule{"tls_server_name", OptionPlace::server, Syntax::text, false},
    OptionRule{"client_cert", OptionPlace::user_mapping, Syntax::certificate, false},
    OptionRule{"client_cert_file", OptionPlace::user_mapping, Syntax::file, true},
    OptionRule{"client_key", OptionPlace::user_mapping, Syntax::private_key, false},
    OptionRule{"client_key_file", OptionPlace::user_mapping, Syntax::file, true},
    OptionRule{"impersonate_extra", OptionPlace::user_mapping, Syntax::impersonated, false},
    OptionRule{"impersonate_groups", OptionPlace::user_mapping, Syntax::impersonated, false},
    OptionRule{"impersonate_uid", OptionPlace::user_mapping, Syntax::impersonated, false},
    OptionRule{"impersonate_user", OptionPlace::user_mapping, Syntax::impersonated, false},
    OptionRule{"token", OptionPlace::user_mapping, Syntax::token, false},
    OptionRule{"token_file", OptionPlace::user_mapping, Syntax::file, true},
};

constexpr const char *service_account_ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
constexpr const char *service_account_token = "/var/run/secrets/kubernetes.io/serviceaccount/token";

std::string quote(std::string_view name) {
    return "\"" + std::string(name) + "\"";
}

std::string valid_options(OptionPlace place) {
    std::string list;
    for (const OptionRule &rule : rules)
        if (rule.place == place)
            list += (list.empty() ? "Valid options in this context are: " : ", ") + std::string(rule.name);
    return list + ".";
}

const OptionRule *find_rule(std::string_view name) noexcept {
    const auto found = std::ranges::find(rules, name, &OptionRule::name);
    return found == rules.end() ? nullptr : &*found;
}

[[noreturn]] void refuse_unknown(OptionPlace place, std::string_view name) {
    const OptionRule *elsewhere = find_rule(name);
    if (elsewhere && elsewhere->place == OptionPlace::user_mapping)
        throw OptionError(
            OptionError::unknown_option,
            "option " + quote(name) +
                (elsewhere->syntax == Syntax::impersonated ? " goes with credentials" : " is a credential") +
                " and does not belong to a server",
            "Everybody can read the options of a server: give it with CREATE USER MAPPING.");
    if (elsewhere)
        throw OptionError(OptionError::unknown_option, "option " + quote(name) + " belongs to the server",
                          "Use CREATE SERVER or ALTER SERVER. " + valid_options(place));
    throw OptionError(OptionError::unknown_option, "invalid option " + quote(name), valid_options(place));
}

// The client's own check, applied to one URL alone.
void check_url(const std::string &api_url, const std::string &proxy_url, std::string_view name) {
    kubernetes::Connection connection;
    connection.api_url = api_url;
    connection.proxy_url = proxy_url;
    try {
        kubernetes::validate(connection);
    } catch (const kubernetes::Failure &failure) {
        throw OptionError(OptionError::invalid_value, "invalid value for option " + quote(name) + ": " + failure.what(),
                          failure.hint());
    }
}

[[noreturn]] void refuse_value(std::string_view name, const std::string &what, const std::string &hint) {
    throw OptionError(OptionError::invalid_value, "invalid value for option " + quote(name) + ": " + what, hint);
}

void check_value(const OptionRule &rule, const std::string &value) {
    if (value.empty())
        refuse_value(rule.name, "it is empty", "Leave the option out instead.");
    bool flag;
    switch (rule.syntax) {
    case Syntax::text:
        break;
    case Syntax::boolean:
        if (!parse_boolean(value, flag))
            refuse_value(rule.name, "it is not a Boolean", "Use true or false.");
        break;
    case Syntax::api_url:
        if (value.find('@') != std::string::npos) // said here, so that no message repeats what may be a password
            refuse_value(rule.name, "it holds a user name or password",
                         "Give a token or a client certificate with CREATE USER MAPPING.");
        check_url(value, {}, rule.name);
        break;
    case Syntax::http_version:
        if (value != "1.1" && value != "2")
            refuse_value(rule.name, "there is no such version of HTTP here", "Use 1.1 (the default) or 2.");
        break;
    case Syntax::impersonate:
        if (value != "off" && value != "mapped" && value != "required")
            refuse_value(rule.name, "it is none of off, mapped and required",
                         "off: all goes as who the credentials are; mapped: what a role of dbnet.mapped_role commits "
                         "goes as its Kubernetes user; required: what other roles commit is not sent.");
        break;
    case Syntax::impersonated: // looked at as a whole
        break;
    case Syntax::proxy_url:
        if (value.find('@') != std::string::npos)
            refuse_value(rule.name, "it holds a user name or password",
                         "Everybody can read the options of a server: use a proxy that needs none.");
        check_url("https://localhost", value, rule.name);
        break;
    case Syntax::file:
        if (!value.starts_with('/'))
            refuse_value(rule.name, "it is not an absolute path", "Paths are those of the database server's machine.");
        break;
    case Syntax::certificate:
        if (!is_pem(value, "CERTIFICATE"))
            refuse_value(
                rule.name, "it is not PEM text of certificates",
                "It starts with -----BEGIN CERTIFICATE-----; decode kubeconfig's ...-data fields from base64 first.");
        break;
    case Syntax::private_key:
        if (!is_pem(value, "PRIVATE KEY"))
            refuse_value(rule.name, "it is not PEM text of a private key",
                         "It starts with -----BEGIN PRIVATE KEY----- or the like; decode kubeconfig's ...-data fields "
                         "from base64 first.");
        break;
    case Syntax::token:
        if (std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 127; }))
            refuse_value(rule.name, "it holds a character that no bearer token has",
                         "Give the token without quotes or line breaks.");
        break;
    }
}

bool has(const Options &options, std::string_view name) {
    return options.find(name) != options.end();
}

std::string value_of(const Options &options, std::string_view name) {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
}

void check_exclusive(const Options &options, std::string_view one, std::string_view other) {
    if (has(options, one) && has(options, other))
        throw OptionError(OptionError::invalid_combination,
                          "options " + quote(one) + " and " + quote(other) + " exclude each other");
}

void check_server(const Options &options) {
    const int endpoints = has(options, "api_url") + has(options, "kubeconfig") + is_true(options, "in_cluster");
    if (endpoints == 0 && !is_true(options, "offline"))
        throw OptionError(
            OptionError::invalid_combination, "the options do not say where the API server is",
            "Give one of api_url, kubeconfig and in_cluster, or offline 'true' to test without a cluster.");
    if (endpoints > 1)
        throw OptionError(OptionError::invalid_combination, "the options say more than once where the API server is",
                          "Give only one of api_url, kubeconfig and in_cluster.");
    if (has(options, "context") && !has(options, "kubeconfig"))
        throw OptionError(OptionError::invalid_combination, "option \"context\" needs option \"kubeconfig\"");
    if (!has(options, "api_url"))
        for (const std::string_view name : {"ca", "ca_file", "tls_server_name", "insecure_skip_tls_verify"})
            if (has(options, name))
                throw OptionError(OptionError::invalid_combination,
                                  "option " + quote(name) + " needs option \"api_url\"",
                                  "A kubeconfig or service account says it itself.");
    check_exclusive(options, "ca", "ca_file");
    if (is_true(options, "insecure_skip_tls_verify") && (has(options, "ca") || has(options, "ca_file")))
        throw OptionError(OptionError::invalid_combination,
                          "option \"insecure_skip_tls_verify\" makes a certificate authority useless",
                          "Give one or the other.");
}

nlohmann::json json_option(const Options &options, std::string_view name) {
    return has(options, name) ? nlohmann::json::parse(value_of(options, name), nullptr, false) : nlohmann::json();
}

kubernetes::Impersonation impersonation_of(const Options &mapping) {
    kubernetes::Impersonation as;
    as.user = value_of(mapping, "impersonate_user");
    as.uid = value_of(mapping, "impersonate_uid");
    try {
        if (const auto groups = json_option(mapping, "impersonate_groups"); !groups.is_null())
            as.groups = groups.get<std::vector<std::string>>();
    } catch (const nlohmann::json::exception &) {
        refuse_value("impersonate_groups", "it is not a JSON array of texts",
                     R"(It looks like ["dev", "net-admins"].)");
    }
    try {
        if (const auto extra = json_option(mapping, "impersonate_extra"); !extra.is_null())
            as.extra = extra.get<std::map<std::string, std::vector<std::string>>>();
    } catch (const nlohmann::json::exception &) {
        refuse_value("impersonate_extra", "it is not a JSON object of arrays of texts",
                     R"(It looks like {"example.com/team": ["net"]}.)");
    }
    try {
        kubernetes::validate(as);
    } catch (const kubernetes::Failure &failure) {
        throw OptionError(OptionError::invalid_combination, failure.what(), failure.hint());
    }
    return as;
}

void check_user_mapping(const Options &options) {
    check_exclusive(options, "token", "token_file");
    check_exclusive(options, "client_cert", "client_cert_file");
    check_exclusive(options, "client_key", "client_key_file");
    const bool certificate = has(options, "client_cert") || has(options, "client_cert_file");
    const bool key = has(options, "client_key") || has(options, "client_key_file");
    if (certificate != key)
        throw OptionError(OptionError::invalid_combination,
                          certificate ? "a client certificate needs its key" : "a client key needs its certificate",
                          "Give client_cert and client_key, or client_cert_file and client_key_file.");
    impersonation_of(options); // throws
    const bool credentials = certificate || has(options, "token") || has(options, "token_file");
    if (!credentials && !options.empty())
        throw OptionError(OptionError::invalid_combination,
                          "the user mapping says as whom to act, and holds no credentials",
                          "Give the credentials of who may act as that user: those of the server are not used.");
    if (options.empty())
        throw OptionError(OptionError::invalid_combination, "the user mapping holds no credentials",
                          valid_options(OptionPlace::user_mapping));
}

kubernetes::Connection service_account_connection() {
    const char *host = std::getenv("KUBERNETES_SERVICE_HOST");
    const char *port = std::getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !port || !*host || !*port)
        throw kubernetes::Failure("the database server does not run inside a Kubernetes cluster",
                                  "Its environment lacks KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: use "
                                  "option api_url or kubeconfig.");
    const std::string address = host;
    kubernetes::Connection connection;
    connection.api_url =
        "https://" + (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + port;
    connection.ca_file = service_account_ca;
    connection.token_file = service_account_token;
    return connection;
}

} // namespace

void check_options(OptionPlace place, const Options &options, bool may_read_files) {
    if (place == OptionPlace::foreign_table)
        throw OptionError(OptionError::not_available, "foreign-data wrapper \"dbnet_kubernetes\" has no foreign tables",
                          "Mirror a kind of object in an ordinary table with dbnet.mirror().");
    for (const auto &[name, value] : options) {
        const OptionRule *rule = find_rule(name);
        if (place == OptionPlace::wrapper)
            throw OptionError(
                OptionError::unknown_option, "invalid option " + quote(name),
                "Foreign-data wrapper \"dbnet_kubernetes\" has no options; its servers and user mappings have.");
        if (!rule || rule->place != place)
            refuse_unknown(place, name);
        check_value(*rule, value);
        if (rule->reads_files && !may_read_files)
            throw OptionError(OptionError::not_permitted, "permission denied to set option " + quote(name),
                              "It makes the server process read files: only superusers and members of "
                              "pg_read_server_files may set it.");
    }
    if (place == OptionPlace::server)
        check_server(options);
    if (place == OptionPlace::user_mapping)
        check_user_mapping(options);
}

bool is_true(const Options &options, std::string_view name) {
    const auto found = options.find(name);
    bool value = false;
    return found != options.end() && parse_boolean(found->second, value) && value;
}

kubernetes::Connection connection_of(const Options &server, const Options *user_mapping) {
    kubernetes::Connection connection;
    if (has(server, "kubeconfig")) {
        connection = kubernetes::from_kubeconfig_files(value_of(server, "kubeconfig"), value_of(server, "context"));
    } else if (is_true(server, "in_cluster")) {
        connection = service_account_connection();
    } else {
        connection.api_url = value_of(server, "api_url");
        while (connection.api_url.ends_with('/'))
            connection.api_url.pop_back();
        connection.ca_pem = value_of(server, "ca");
        connection.ca_file = value_of(server, "ca_file");
        connection.tls_server_name = value_of(server, "tls_server_name");
        connection.insecure_skip_tls_verify = is_true(server, "insecure_skip_tls_verify");
    }
    connection.http2 = value_of(server, "http_version") == "2";
    if (has(server, "proxy_url"))
        connection.proxy_url = value_of(server, "proxy_url");
    if (user_mapping) {
        connection.exec.reset();
        connection.token = value_of(*user_mapping, "token");
        connection.token_file = value_of(*user_mapping, "token_file");
        connection.client_cert_pem = value_of(*user_mapping, "client_cert");
        connection.client_cert_file = value_of(*user_mapping, "client_cert_file");
        connection.client_key_pem = value_of(*user_mapping, "client_key");
        connection.client_key_file = value_of(*user_mapping, "client_key_file");
        connection.impersonation = impersonation_of(*user_mapping);
    }
    kubernetes::validate(connection);
    return connection;
}

bool parse_boolean(std::string_view text, bool &value) noexcept {
    const auto equals = [text](std::string_view word) {
        return std::ranges::equal(text, word, [](unsigned char a, char b) { return std::tolower(a) == b; });
    };
    for (const std::string_view word : {"true", "on", "yes", "1"})
        if (equals(word)) {
            value = true;
            return true;
        }
    for (const std::string_view word : {"false", "off", "no", "0"})
        if (equals(word)) {
            value = false;
            return true;
        }
    return false;
}

bool is_pem(std::string_view text, std::string_view label) noexcept {
    constexpr std::string_view begin = "-----BEGIN ", end = "-----END ", dashes = "-----";
    bool inside = false, seen = false, has_body = false;
    std::string_view open_label;
    while (!text.empty()) {
        const size_t newline = text.find('\n');
        std::string_view line = text.substr(0, newline);
        text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
        while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())))
            line.remove_suffix(1);
        if (line.starts_with(begin) && line.ends_with(dashes) && line.size() > begin.size() + dashes.size()) {
            open_label = line.substr(begin.size(), line.size() - begin.size() - dashes.size());
            if (inside || !open_label.ends_with(label))
                return false;
            inside = true;
            has_body = false;
        } else if (line.starts_with(end)) {
            line.remove_prefix(end.size());
            if (!inside || !has_body || !line.ends_with(dashes) ||
                line.substr(0, line.size() - dashes.size()) != open_label)
                return false;
            inside = false;
            seen = true;
        } else if (inside) {
            const bool header = line.find(':') != std::string_view::npos; // "Proc-Type: …" of old encrypted keys
            if (!header && !std::ranges::all_of(line, [](unsigned char c) {
                    return std::isalnum(c) || c == '+' || c == '/' || c == '=';
                }))
                return false;
            has_body = has_body || (!header && !line.empty());
        }
    }
    return seen && !inside;
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
