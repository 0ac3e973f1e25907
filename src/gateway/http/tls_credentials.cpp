// Reading of TLS files; see the header.
#include "gateway/http/tls_credentials.hpp"

#include "gateway/http/http_error.hpp"

#include <gnutls/gnutls.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace dbnet::gateway {
namespace {

std::string read_file(const std::string &name, const char *what) {
    if (name.empty())
        throw HttpError(std::string("TLS needs a ") + what + " file",
                        "Set dbnet.gateway_certificate_file and dbnet.gateway_key_file together.");
    std::ifstream in(name, std::ios::binary);
    std::string text;
    if (in)
        text.assign(std::istreambuf_iterator<char>(in), {});
    if (!in || text.empty())
        throw HttpError(std::string("cannot read ") + what + " file \"" + name +
                            "\": " + (in ? "it is empty" : std::strerror(errno)),
                        "It must be readable by the operating system's user that runs PostgreSQL.");
    return text;
}

gnutls_datum_t datum(const std::string &text) noexcept {
    return {reinterpret_cast<unsigned char *>(const_cast<char *>(text.data())), static_cast<unsigned>(text.size())};
}

} // namespace

void TlsCredentials::Free::operator()(gnutls_certificate_credentials_st *credentials) const noexcept {
    gnutls_certificate_free_credentials(credentials);
}

TlsCredentials::TlsCredentials(const TlsFiles &files)
    : certificate_(read_file(files.certificate, "certificate")), key_(read_file(files.key, "key")) {
    gnutls_certificate_credentials_t made = nullptr;
    if (gnutls_certificate_allocate_credentials(&made) != GNUTLS_E_SUCCESS)
        throw std::bad_alloc();
    credentials_.reset(made);
    const gnutls_datum_t certificate = datum(certificate_), key = datum(key_);
    const int result = gnutls_certificate_set_x509_key_mem(made, &certificate, &key, GNUTLS_X509_FMT_PEM);
    if (result < 0)
        throw HttpError("certificate file \"" + files.certificate + "\" and key file \"" + files.key +
                            "\" cannot be used: " + gnutls_strerror(result),
                        "Both are PEM, the key without a passphrase and the one of the first certificate.");
    if (files.client_ca.empty())
        return;
    const std::string authorities = read_file(files.client_ca, "client certificate authority");
    const gnutls_datum_t trusted = datum(authorities);
    const int count = gnutls_certificate_set_x509_trust_mem(made, &trusted, GNUTLS_X509_FMT_PEM);
    if (count <= 0)
        throw HttpError("client certificate authority file \"" + files.client_ca +
                        "\" cannot be used: " + (count < 0 ? gnutls_strerror(count) : "there is no certificate in it"));
    asks_clients_ = true;
}

void TlsCredentials::apply(gnutls_session_int *session) const noexcept {
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_.get());
    if (!asks_clients_)
        return;
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert(session, nullptr, 0);
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
