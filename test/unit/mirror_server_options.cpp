// Options of servers and user mappings, and the connections they describe.
#include "mirror/server/server_options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include <cstdlib>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet::mirror;

constexpr const char *certificate = "-----BEGIN CERTIFICATE-----\nMIIB+/8=\n-----END CERTIFICATE-----\n";
constexpr const char *key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----";

// "" when accepted, else what was said.
std::string refusal(OptionPlace place, const Options &options, bool may_read_files = true) {
    try {
        check_options(place, options, may_read_files);
    } catch (const OptionError &error) {
        return error.what();
    }
    return "";
}

TEST(ServerOptions, FilesNeedTheRightToReadThem) {
    for (const char *name : {"kubeconfig", "in_cluster"}) {
        const Options options{{name, name[0] == 'k' ? "/etc/k" : "true"}};
        EXPECT_EQ(refusal(OptionPlace::server, options), "");
        EXPECT_EQ(refusal(OptionPlace::server, options, false),
                  std::string("permission denied to set option \"") + name + "\"");
    }
    for (const char *name : {"token_file"})
        EXPECT_EQ(refusal(OptionPlace::user_mapping, {{name, "/t"}}, false),
                  std::string("permission denied to set option \"") + name + "\"");
}

TEST(ServerOptions, CredentialsAreRefusedAtServers) {
    for (const char *name : {"token", "token_file", "client_cert", "client_key", "client_cert_file", "client_key_file"})
        EXPECT_EQ(refusal(OptionPlace::server, {{"api_url", "https://k"}, {name, "x"}}),
                  std::string("option \"") + name + "\" is a credential and does not belong to a server");
}

TEST(ServerOptions, UnknownOptionsNameTheKnownOnes) {
    try {
        check_options(OptionPlace::user_mapping, {{"password", "x"}}, true);
        FAIL();
    } catch (const OptionError &error) {
        EXPECT_EQ(error.kind(), OptionError::unknown_option);
        EXPECT_EQ(error.hint(), "Valid options in this context are: client_cert, client_cert_file, client_key, "
                                "client_key_file, impersonate_extra, impersonate_groups, impersonate_uid, "
                                "impersonate_user, token, token_file.");
    }
}

TEST(ServerOptions, ErrorsNeverRepeatCredentials) {
    const std::string secret = "top secret";
    for (const char *name : {"token", "client_key", "client_cert"})
        EXPECT_EQ(refusal(OptionPlace::user_mapping, {{name, secret}}).find(secret), std::string::npos);
    EXPECT_EQ(refusal(OptionPlace::server, {{"api_url", "https://me:" + secret + "@k"}}).find(secret),
              std::string::npos);
}

TEST(ServerOptions, ConnectionOfAnApiUrl) {
    const Options mapping{{"token", "abc"}};
    const auto connection = connection_of({{"api_url", "https://k:6443/"},
                                           {"ca", certificate},
                                           {"tls_server_name", "kubernetes"},
                                           {"proxy_url", "http://p"}},
                                          &mapping);
    EXPECT_EQ(connection.api_url, "https://k:6443");
    EXPECT_EQ(connection.ca_pem, certificate);
    EXPECT_EQ(connection.tls_server_name, "kubernetes");
    EXPECT_EQ(connection.proxy_url, "http://p");
    EXPECT_EQ(connection.token, "abc");
    EXPECT_FALSE(connection.insecure_skip_tls_verify);
}

TEST(ServerOptions, InsideACluster) {
    const auto connect = [](const char *host, const char *port, const Options *mapping = nullptr) {
        setenv("KUBERNETES_SERVICE_HOST", host, 1);
        setenv("KUBERNETES_SERVICE_PORT", port, 1);
        return connection_of({{"in_cluster", "true"}}, mapping);
    };
    const auto connection = connect("10.96.0.1", "443");
    EXPECT_EQ(connection.api_url, "https://10.96.0.1:443");
    EXPECT_EQ(connection.ca_file, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
    EXPECT_EQ(connection.token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
    EXPECT_EQ(connect("fd00:10:96::1", "6443").api_url, "https://[fd00:10:96::1]:6443");
    EXPECT_EQ(connect("kubernetes.default.svc", "443").api_url, "https://kubernetes.default.svc:443");
    const Options mapping{{"token", "abc"}};
    EXPECT_EQ(connect("10.96.0.1", "443", &mapping).token, "abc");
    EXPECT_EQ(connect("10.96.0.1", "443", &mapping).token_file, "") << "a mapping replaces the service account";
    EXPECT_THROW(connect("", "443"), dbnet::kubernetes::Failure);
    unsetenv("KUBERNETES_SERVICE_HOST");
    EXPECT_THROW(connection_of({{"in_cluster", "true"}}, nullptr), dbnet::kubernetes::Failure);
    unsetenv("KUBERNETES_SERVICE_PORT");
}

TEST(ServerOptions, HttpVersion) {
    EXPECT_FALSE(connection_of({{"api_url", "https://k"}}, nullptr).http2);
    EXPECT_FALSE(connection_of({{"api_url", "https://k"}, {"http_version", "1.1"}}, nullptr).http2);
    EXPECT_TRUE(connection_of({{"api_url", "https://k"}, {"http_version", "2"}}, nullptr).http2);
    for (const char *version : {"1.0", "3", "2.0", " 2"})
        EXPECT_NE(refusal(OptionPlace::server, {{"api_url", "https://k"}, {"http_version", version}}), "");
}

TEST(ServerOptions, AsWhomAllIsAskedFor) {
    const auto as = connection_of({{"api_url", "https://k"}}, nullptr).impersonation;
    EXPECT_TRUE(as.is_nobody());
    Options mapping{{"token", "abc"},
                    {"impersonate_user", "bob"},
                    {"impersonate_uid", "17"},
                    {"impersonate_groups", R"(["dev", "CN=net,OU=ops"])"},
                    {"impersonate_extra", R"({"example.com/team": ["net"]})"}};
    EXPECT_EQ(refusal(OptionPlace::user_mapping, mapping), "");
    EXPECT_EQ(
        connection_of({{"api_url", "https://k"}}, &mapping).impersonation,
        (dbnet::kubernetes::Impersonation{"bob", "17", {"dev", "CN=net,OU=ops"}, {{"example.com/team", {"net"}}}}));
    mapping.erase("token");
    EXPECT_EQ(refusal(OptionPlace::user_mapping, mapping),
              "the user mapping says as whom to act, and holds no credentials")
        << "whoever may make a mapping must not say whom others' credentials act as";
    EXPECT_EQ(refusal(OptionPlace::user_mapping, {{"token", "abc"}, {"impersonate_groups", R"(["dev"])"}}),
              "a uid, groups or extra values to act as are given without a user");
    EXPECT_EQ(refusal(OptionPlace::user_mapping,
                      {{"token", "abc"}, {"impersonate_user", "bob"}, {"impersonate_groups", "dev"}}),
              "invalid value for option \"impersonate_groups\": it is not a JSON array of texts");
    EXPECT_EQ(refusal(OptionPlace::user_mapping,
                      {{"token", "abc"}, {"impersonate_user", "bob"}, {"impersonate_extra", "[1]"}}),
              "invalid value for option \"impersonate_extra\": it is not a JSON object of arrays of texts");
    EXPECT_EQ(refusal(OptionPlace::server, {{"api_url", "https://k"}, {"impersonate_user", "bob"}}),
              "option \"impersonate_user\" goes with credentials and does not belong to a server");
}

TEST(ServerOptions, WhetherCommittersAreTold) {
    for (const char *value : {"off", "mapped", "required"})
        EXPECT_EQ(refusal(OptionPlace::server, {{"api_url", "https://k"}, {"impersonate", value}}), "");
    for (const char *value : {"on", "true", "Mapped"})
        EXPECT_EQ(refusal(OptionPlace::server, {{"api_url", "https://k"}, {"impersonate", value}}),
                  "invalid value for option \"impersonate\": it is none of off, mapped and required");
}

TEST(ServerOptions, CredentialsAreNotSentInTheClear) {
    const Options mapping{{"token", "abc"}};
    EXPECT_NO_THROW(connection_of({{"api_url", "http://127.0.0.1:8080"}}, nullptr));
    EXPECT_THROW(connection_of({{"api_url", "http://127.0.0.1:8080"}}, &mapping), dbnet::kubernetes::Failure);
}

TEST(ServerOptions, AMappingReplacesEveryCredential) {
    const Options mapping{{"client_cert", certificate}, {"client_key", key}};
    const auto connection = connection_of({{"api_url", "https://k"}}, &mapping);
    EXPECT_EQ(connection.client_cert_pem, certificate);
    EXPECT_EQ(connection.client_key_pem, key);
    EXPECT_EQ(connection.token, "");
}

TEST(ServerOptions, Booleans) {
    bool value = false;
    for (const char *text : {"true", "ON", "Yes", "1"}) {
        value = false;
        EXPECT_TRUE(parse_boolean(text, value) && value) << text;
    }
    for (const char *text : {"false", "Off", "no", "0"}) {
        value = true;
        EXPECT_TRUE(parse_boolean(text, value) && !value) << text;
    }
    for (const char *text : {"", "2", "tru", "truee", " true"})
        EXPECT_FALSE(parse_boolean(text, value)) << text;
}

TEST(ServerOptions, Pem) {
    EXPECT_TRUE(is_pem(certificate, "CERTIFICATE"));
    EXPECT_TRUE(is_pem(std::string("# subject\r\n") + certificate + "\n" + certificate, "CERTIFICATE"));
    EXPECT_TRUE(is_pem(key, "PRIVATE KEY"));
    EXPECT_TRUE(is_pem("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----",
                       "PRIVATE KEY"));
    EXPECT_FALSE(is_pem(key, "CERTIFICATE"));
    for (const char *text :
         {"", "MIIB", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
          "-----BEGIN CERTIFICATE-----\nMIIB\n", "-----BEGIN CERTIFICATE-----\nM!IB\n-----END CERTIFICATE-----",
          "-----END CERTIFICATE-----\nMIIB\n-----BEGIN CERTIFICATE-----",
          "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE",
          "-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"})
        EXPECT_FALSE(is_pem(text, "CERTIFICATE")) << text;
}

} // namespace
