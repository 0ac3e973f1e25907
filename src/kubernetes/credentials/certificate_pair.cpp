// Implementation of certificate_pair.hpp.
#include "kubernetes/credentials/certificate_pair.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

namespace dbnet::kubernetes {
namespace {

struct OpensslFree {
    void operator()(BIO *object) const noexcept { BIO_free(object); }
    void operator()(X509 *object) const noexcept { X509_free(object); }
    void operator()(EVP_PKEY *object) const noexcept { EVP_PKEY_free(object); }
};

template<class Object, class Read> std::unique_ptr<Object, OpensslFree> read_pem(const std::string &pem, Read read) {
    const std::unique_ptr<BIO, OpensslFree> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const auto no_password = [](char *, int, int, void *) { return 0; }; // else OpenSSL asks at the terminal
    return std::unique_ptr<Object, OpensslFree>(text ? read(text.get(), nullptr, no_password, nullptr) : nullptr);
}

} // namespace

bool is_certificate_pair(const std::string &certificate_pem, const std::string &key_pem) {
    const auto certificate = read_pem<X509>(certificate_pem, PEM_read_bio_X509);
    const auto key = read_pem<EVP_PKEY>(key_pem, PEM_read_bio_PrivateKey);
    const bool is_pair = certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
    ERR_clear_error(); // else libcurl's next error would be one of these
    return is_pair;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
