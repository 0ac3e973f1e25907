// How to reach one API server and who to be there. Plain data, compared by value: equal connections share pooled
// sockets. Used by the mirror worker and by backends.
#pragma once

#include "kubernetes/credentials/exec_plugin.hpp"
#include "kubernetes/impersonation.hpp"

#include <optional>
#include <string>

namespace dbnet::kubernetes {

// Of each pair (…_pem, …_file) at most one is set; PEM text wins. Every member may be empty except api_url.
struct Connection {
    std::string api_url; // https://host[:port][/prefix], without a trailing slash
    std::string ca_pem;  // authorities that may sign the server's certificate; none given: the system's
    std::string ca_file;
    std::string client_cert_pem;
    std::string client_cert_file;
    std::string client_key_pem;
    std::string client_key_file;
    std::string token;              // bearer token
    std::string token_file;         // read again every minute and on 401; as long as it can be read it wins over token
    std::optional<ExecPlugin> exec; // asked for credentials when they are needed; a token given otherwise wins over it
    Impersonation
        impersonation; // as whom requests are made that do not say it themselves; nobody: as who the credentials are
    bool insecure_skip_tls_verify = false;
    std::string tls_server_name; // name to expect in the server's certificate instead of api_url's host
    // Requests share one connection where the server speaks HTTP/2 (https:// only). Lists and watches keep to HTTP/1.1
    // and have connections of their own: they would fill the shared one, or hold it for ever.
    bool http2 = false;
    std::string proxy_url; // http://, https:// or socks5://; the environment's proxies are never used

    bool operator==(const Connection &) const = default;

    bool has_credentials() const noexcept {
        return !token.empty() || !token_file.empty() || !client_cert_pem.empty() || !client_cert_file.empty() ||
               exec.has_value();
    }
};

// Throws Failure when the connection cannot work or must not be used: not a URL, user name in the URL, http:// to
// anything but this machine or together with credentials, a certificate without its key, somebody to act as who is no
// user, or without credentials that may.
void validate(const Connection &connection);

// The proxy's address without what may be a password in it; for people to see.
std::string shown_proxy_url(const Connection &connection);

// True when the host of a URL is this machine by number or by the name localhost.
bool is_loopback_url(const std::string &url);

} // namespace dbnet::kubernetes
