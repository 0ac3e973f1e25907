// Certificate, key and the authorities of clients that a TLS server shows and asks for. Pure C++ over GnuTLS, the
// library of libmicrohttpd.
#pragma once

#include <memory>
#include <string>

struct gnutls_certificate_credentials_st;
struct gnutls_session_int;

namespace dbnet::gateway {

// Names of PEM files; certificate and key empty: no TLS.
struct TlsFiles {
    std::string certificate, key; // the certificate first, then those that signed it
    std::string client_ca;        // empty: clients need no certificate

    bool operator==(const TlsFiles &) const = default;
};

class TlsCredentials {
public:
    // Reads the files. Raises HttpError.
    explicit TlsCredentials(const TlsFiles &files);

    // Makes a new server session use these; they must live as long as it. Clients without a certificate of the
    // authorities are refused in the handshake when there is a client_ca.
    void apply(gnutls_session_int *session) const noexcept;

    // PEM texts, as the HTTP library wants to see them at its start.
    const std::string &certificate() const noexcept { return certificate_; }
    const std::string &key() const noexcept { return key_; }

private:
    struct Free {
        void operator()(gnutls_certificate_credentials_st *credentials) const noexcept;
    };

    std::string certificate_, key_;
    std::unique_ptr<gnutls_certificate_credentials_st, Free> credentials_;
    bool asks_clients_ = false;
};

} // namespace dbnet::gateway
