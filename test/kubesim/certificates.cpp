// The simulator's own certificate authority.
#include "certificates.hpp"

#include "file.hpp"

#include <filesystem>
#include <memory>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdexcept>

namespace kubesim {

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

constexpr long valid_seconds = 10L * 365 * 24 * 3600;

std::string contents(BIO *bio) {
    char *data = nullptr;
    long length = BIO_get_mem_data(bio, &data);
    return std::string(data, length);
}

std::string pem(X509 *certificate) {
    Memory bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(bio.get(), certificate);
    return contents(bio.get());
}

std::string pem(EVP_PKEY *key) {
    Memory bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return contents(bio.get());
}

void extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    if (!extension)
        throw std::runtime_error("cannot make a certificate extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

Cert certificate(EVP_PKEY *subject_key, const char *common_name, const char *organisation, X509 *issuer,
                 EVP_PKEY *issuer_key) {
    Cert out(X509_new(), X509_free);
    X509_set_version(out.get(), 2);
    unsigned char serial[8];
    RAND_bytes(serial, sizeof serial);
    serial[0] &= 0x7F;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, nullptr);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(out.get()));
    BN_free(number);
    X509_gmtime_adj(X509_getm_notBefore(out.get()), -300);
    X509_gmtime_adj(X509_getm_notAfter(out.get()), valid_seconds);
    X509_set_pubkey(out.get(), subject_key);
    X509_NAME *name = X509_get_subject_name(out.get());
    auto add = [&](const char *field, const char *value) {
        X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char *>(value), -1, -1,
                                   0);
    };
    if (organisation)
        add("O", organisation);
    add("CN", common_name);
    X509_set_issuer_name(out.get(), issuer ? X509_get_subject_name(issuer) : name);
    X509 *signer = issuer ? issuer : out.get();
    if (!issuer) {
        extend(out.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
        extend(out.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        extend(out.get(), signer, NID_key_usage, "critical,digitalSignature");
        extend(out.get(), signer, NID_ext_key_usage, organisation ? "clientAuth" : "serverAuth");
        if (!organisation)
            extend(out.get(), signer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    }
    if (X509_sign(out.get(), issuer_key, EVP_sha256()) == 0)
        throw std::runtime_error("cannot sign a certificate");
    return out;
}

Key new_key() {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        throw std::runtime_error("cannot make a key");
    return Key(key, EVP_PKEY_free);
}

Certificates fresh() {
    Key authority_key = new_key(), server_key = new_key(), admin_key = new_key();
    Cert authority = certificate(authority_key.get(), "kubesim-ca", nullptr, nullptr, authority_key.get());
    Cert server = certificate(server_key.get(), "kube-apiserver", nullptr, authority.get(), authority_key.get());
    Cert admin = certificate(admin_key.get(), "kubesim-admin", "system:masters", authority.get(), authority_key.get());
    return {{pem(authority.get()), pem(authority_key.get())},
            {pem(server.get()), pem(server_key.get())},
            {pem(admin.get()), pem(admin_key.get())}};
}

} // namespace

Certificates make_certificates(const std::string &directory) {
    if (directory.empty())
        return fresh();
    std::filesystem::path folder(directory);
    auto pair = [&](const char *name) {
        return KeyPair{read_file(folder / (std::string(name) + ".crt")),
                       read_file(folder / (std::string(name) + ".key"))};
    };
    if (std::filesystem::exists(folder / "ca.crt"))
        return {pair("ca"), pair("server"), pair("admin")};
    std::filesystem::create_directories(folder);
    Certificates made = fresh();
    auto write = [&](const char *name, const KeyPair &pair) {
        write_file(folder / (std::string(name) + ".crt"), pair.certificate, 0644);
        write_file(folder / (std::string(name) + ".key"), pair.key, 0600);
    };
    write("ca", made.authority);
    write("server", made.server);
    write("admin", made.admin);
    return made;
}

} // namespace kubesim
