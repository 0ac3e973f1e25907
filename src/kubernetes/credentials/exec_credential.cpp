// ExecCredential, both ways; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/credentials/exec_credential.hpp"

#include "kubernetes/credentials/base64.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/instant.hpp"
#include "kubernetes/json_access.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace dbnet::kubernetes {
namespace {

constexpr std::array<std::string_view, 2> versions{"client.authentication.k8s.io/v1",
                                                   "client.authentication.k8s.io/v1beta1"};
constexpr std::string_view hidden = "[hidden]";
constexpr size_t most_shown = 300;    // bytes
constexpr size_t shortest_secret = 8; // bytes: shorter words are in any output
constexpr size_t shortest_random = 20;

bool is_token(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 127; });
}

std::string pem_member(const nlohmann::json *status, const char *key) {
    std::string text = text_member(status, key);
    if (!text.empty() && text.find("-----BEGIN ") == std::string::npos)
        throw Failure(std::string("its ") + key + " is not PEM text");
    return text;
}

bool is_named_like_a_secret(std::string name) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return std::ranges::any_of(
        std::array<std::string_view, 6>{"SECRET", "PASSWORD", "PASSWD", "TOKEN", "KEY", "CREDENTIAL"},
        [&](std::string_view part) { return name.find(part) != std::string::npos; });
}

bool is_between_words(unsigned char c) noexcept {
    return c <= ' ' || c >= 127 ||
           std::string_view("\"'`,;:()[]{}<>=?&").find(static_cast<char>(c)) != std::string_view::npos;
}

// Long, of small and capital letters and digits, without what parts paths, addresses and names.
bool looks_random(std::string_view word) noexcept {
    while (!word.empty()) {
        const size_t end = std::min(word.find_first_of("/@."), word.size());
        const std::string_view part = word.substr(0, end);
        const auto has = [part](int (*kind)(int)) {
            return std::ranges::any_of(part, [kind](unsigned char c) { return kind(c) != 0; });
        };
        if (part.size() >= shortest_random && has(std::isupper) && has(std::islower) && has(std::isdigit))
            return true;
        word.remove_prefix(std::min(end + 1, word.size()));
    }
    return false;
}

bool may_be_secret(std::string_view word, std::string_view output) {
    return word.size() >= shortest_secret && (looks_random(word) || output.find(word) != std::string_view::npos);
}

std::string without_secrets_of(const ExecPlugin &plugin, std::string_view errors) {
    std::string text(errors);
    for (const auto &[name, value] : plugin.environment)
        if (!value.empty() && is_named_like_a_secret(name))
            for (size_t at = 0; (at = text.find(value, at)) != std::string::npos; at += hidden.size())
                text.replace(at, value.size(), hidden);
    return text;
}

} // namespace

bool is_exec_api_version(std::string_view api_version) noexcept {
    return std::ranges::find(versions, api_version) != versions.end();
}

std::string exec_info(const Connection &connection, std::string_view ca_pem) {
    nlohmann::json info{
        {"apiVersion", connection.exec->api_version}, {"kind", "ExecCredential"}, {"spec", {{"interactive", false}}}};
    if (connection.exec->provide_cluster_info) {
        nlohmann::json &cluster = info["spec"]["cluster"] = {{"server", connection.api_url}};
        const std::string_view ca = connection.ca_pem.empty() ? ca_pem : connection.ca_pem;
        if (!ca.empty())
            cluster["certificate-authority-data"] = base64_encode(ca);
        if (!connection.tls_server_name.empty())
            cluster["tls-server-name"] = connection.tls_server_name;
        if (connection.insecure_skip_tls_verify)
            cluster["insecure-skip-tls-verify"] = true;
        if (!connection.proxy_url.empty())
            cluster["proxy-url"] = connection.proxy_url;
        if (nlohmann::json config = parse_json(connection.exec->cluster_config); !config.is_discarded())
            cluster["config"] = std::move(config);
    }
    return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ExecCredential parse_exec_credential(std::string_view output, std::string_view api_version) {
    const nlohmann::json document = parse_json(output);
    if (!document.is_object() || text_member(&document, "kind") != "ExecCredential")
        throw Failure("it did not print an ExecCredential",
                      "Run it by hand, as the database server's user: it must print one as JSON, and nothing else.");
    if (text_member(&document, "apiVersion") != api_version)
        throw Failure("it answered in another version than " + std::string(api_version),
                      "Set apiVersion in the kubeconfig to what the program speaks.");
    const nlohmann::json *status = member(&document, "status");
    ExecCredential credential;
    credential.token = text_member(status, "token");
    credential.client_certificate_pem = pem_member(status, "clientCertificateData");
    credential.client_key_pem = pem_member(status, "clientKeyData");
    if (credential.client_certificate_pem.empty() != credential.client_key_pem.empty())
        throw Failure("it gave a client certificate without its key, or a key alone");
    if (credential.token.empty() && credential.client_certificate_pem.empty())
        throw Failure("it gave neither a token nor a client certificate");
    if (!is_token(credential.token))
        throw Failure("its token holds a character that no bearer token has");
    if (const nlohmann::json *expires = member(status, "expirationTimestamp"); expires && !expires->is_null()) {
        if (expires->is_string())
            credential.expires_at = parse_instant(expires->get_ref<const std::string &>());
        if (!credential.expires_at)
            throw Failure("its expirationTimestamp is no point in time");
    }
    return credential;
}

std::string shown_errors(std::string_view all_errors, std::string_view output, const ExecPlugin &plugin) {
    const std::string text = without_secrets_of(plugin, all_errors);
    std::string_view errors = text;
    std::string shown;
    while (!errors.empty()) {
        const auto *const end = std::ranges::find_if(errors, is_between_words);
        const auto word = errors.substr(0, static_cast<size_t>(end - errors.begin()));
        shown += may_be_secret(word, output) ? hidden : word;
        errors.remove_prefix(word.size());
        if (errors.empty())
            break;
        const auto between = static_cast<unsigned char>(errors.front());
        errors.remove_prefix(1);
        if (between > ' ' && between < 127)
            shown += static_cast<char>(between);
        else if (between >= 127)
            shown += '?';
        else if (!shown.empty() && !shown.ends_with(' '))
            shown += ' ';
    }
    while (shown.ends_with(' '))
        shown.pop_back();
    if (shown.size() > most_shown) {
        const size_t cut = shown.find(' ', shown.size() - most_shown);
        shown = "... " + (cut == std::string::npos ? std::string() : shown.substr(cut + 1));
    }
    return shown;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
