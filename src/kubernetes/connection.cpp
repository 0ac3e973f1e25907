// Checks of a connection before it is used. Runs in backends (option validator) and in the mirror worker.
#include "kubernetes/connection.hpp"

#include "kubernetes/failure.hpp"

#include <curl/curl.h>

#include <memory>

namespace dbnet::kubernetes {
namespace {

using UrlHandle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// Parses with the parser that later connects, so that both see the same host.
UrlHandle parse_url(const std::string &url) {
    UrlHandle handle(curl_url(), curl_url_cleanup);
    if (!handle)
        throw std::bad_alloc();
    if (curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        handle.reset();
    return handle;
}

std::string part(const UrlHandle &handle, CURLUPart which) {
    char *text = nullptr;
    if (curl_url_get(handle.get(), which, &text, 0) != CURLUE_OK || text == nullptr)
        return {};
    std::unique_ptr<char, decltype(&curl_free)> owned(text, curl_free);
    return text;
}

bool is_loopback_host(const std::string &host) {
    if (host == "localhost" || host == "[::1]")
        return true;
    return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

void check_pair(const std::string &certificate, const std::string &key) {
    if (certificate.empty() != key.empty())
        throw Failure(certificate.empty() ? "a client key is given without its certificate"
                                          : "a client certificate is given without its key",
                      "Give both, as PEM text or as files.");
}

void check_api_url(const Connection &connection) {
    const UrlHandle url = parse_url(connection.api_url);
    if (!url || part(url, CURLUPART_HOST).empty())
        throw Failure("\"" + connection.api_url + "\" is not the URL of an API server",
                      "It looks like https://10.0.0.1:6443.");
    if (!part(url, CURLUPART_USER).empty() || !part(url, CURLUPART_PASSWORD).empty())
        throw Failure("the API server's URL holds a user name or password",
                      "Use a token or a client certificate instead.");
    if (!part(url, CURLUPART_QUERY).empty() || !part(url, CURLUPART_FRAGMENT).empty())
        throw Failure("the API server's URL \"" + connection.api_url + "\" has a query or fragment",
                      "Give scheme, host, port and at most a path prefix.");
    const std::string scheme = part(url, CURLUPART_SCHEME);
    if (scheme == "https")
        return;
    if (scheme != "http")
        throw Failure("the API server's URL \"" + connection.api_url + "\" is not https://");
    if (!is_loopback_host(part(url, CURLUPART_HOST)))
        throw Failure("the API server's URL \"" + connection.api_url + "\" is not encrypted",
                      "Use https://; http:// is for servers on this very machine.");
    if (connection.has_credentials())
        throw Failure("credentials are not sent to \"" + connection.api_url + "\" because it is not encrypted",
                      "Use https://, or leave the credentials away.");
}

void check_proxy_url(const std::string &proxy_url) {
    if (proxy_url.empty())
        return;
    const UrlHandle url = parse_url(proxy_url);
    const std::string scheme = url ? part(url, CURLUPART_SCHEME) : std::string();
    if (scheme != "http" && scheme != "https" && scheme != "socks5" && scheme != "socks5h")
        throw Failure("the proxy's URL must start with http://, https:// or socks5://");
}

} // namespace

void validate(const Connection &connection) {
    check_api_url(connection);
    check_proxy_url(connection.proxy_url);
    check_pair(connection.client_cert_pem.empty() ? connection.client_cert_file : connection.client_cert_pem,
               connection.client_key_pem.empty() ? connection.client_key_file : connection.client_key_pem);
    if (connection.token.find_first_of("\r\n") != std::string::npos)
        throw Failure("the bearer token holds a line break");
    validate(connection.impersonation);
    if (!connection.impersonation.is_nobody() && !connection.has_credentials())
        throw Failure("there is a user to act as, and no credentials",
                      "Give the credentials of who may act as that user.");
}

std::string shown_proxy_url(const Connection &connection) {
    const UrlHandle url = parse_url(connection.proxy_url);
    if (!url || connection.proxy_url.empty())
        return {};
    const std::string port = part(url, CURLUPART_PORT);
    return part(url, CURLUPART_SCHEME) + "://" + part(url, CURLUPART_HOST) + (port.empty() ? "" : ':' + port);
}

bool is_loopback_url(const std::string &url) {
    const UrlHandle handle = parse_url(url);
    return handle && is_loopback_host(part(handle, CURLUPART_HOST));
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
