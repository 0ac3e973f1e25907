// Kubeconfig files and checks of connections: what is taken from where, and what refusals say.
#include "kubernetes/credentials/kubeconfig.hpp"
#include "kubernetes/failure.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace dbnet::kubernetes;

namespace {

const std::string pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const std::string pem_base64 = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

std::string config(const std::string &cluster, const std::string &user) {
    return "apiVersion: v1\nkind: Config\ncurrent-context: main\n"
           "clusters: [{name: c, cluster: {" +
           cluster +
           "}}]\n"
           "users: [{name: u, user: {" +
           user +
           "}}]\n"
           "contexts: [{name: main, context: {cluster: c, user: u}}, {name: anonymous, context: {cluster: c}},"
           " {name: lost, context: {cluster: nowhere, user: u}}, {name: nobody, context: {cluster: c, user: "
           "missing}}]\n";
}

Connection read(const std::string &text, std::string_view context = {}) {
    return from_kubeconfig_text(text, context, "/etc/dbnet", "test.yaml");
}

std::string error(const std::string &text, std::string_view context = {}) {
    try {
        read(text, context);
    } catch (const Failure &failure) {
        return std::string(failure.what()) + " | " + failure.hint();
    }
    return "read";
}

const std::string server = "server: 'https://10.0.0.1:6443/'";

class KubeconfigFiles : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "kubeconfig.XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    std::string write(const std::string &name, const std::string &text) {
        const std::string path = directory_ + '/' + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path) << text;
        return path;
    }

    std::string directory_;
};

} // namespace

TEST(Kubeconfig, DataBeatsFiles) {
    const Connection connection =
        read(config(server + ", certificate-authority: ca.pem, certificate-authority-data: " + pem_base64,
                    "client-certificate: c.pem, client-key: k.pem, client-key-data: " + pem_base64 +
                        ", client-certificate-data: " + pem_base64));
    EXPECT_EQ(connection.api_url, "https://10.0.0.1:6443");
    EXPECT_EQ(connection.ca_pem, pem);
    EXPECT_EQ(connection.ca_file, "");
    EXPECT_EQ(connection.client_cert_pem, pem);
    EXPECT_EQ(connection.client_cert_file, "");
    EXPECT_EQ(connection.client_key_pem, pem);
}

TEST(Kubeconfig, RelativePathsBelongToTheFile) {
    const Connection connection = read(config(server + ", certificate-authority: ../pki/ca.pem",
                                              "client-certificate: c.pem, client-key: /abs/k.pem, tokenFile: ./token"));
    EXPECT_EQ(connection.ca_file, "/etc/pki/ca.pem");
    EXPECT_EQ(connection.client_cert_file, "/etc/dbnet/c.pem");
    EXPECT_EQ(connection.client_key_file, "/abs/k.pem");
    EXPECT_EQ(connection.token_file, "/etc/dbnet/token");
}

TEST(Kubeconfig, OtherSettings) {
    const Connection connection =
        read(config(server + ", insecure-skip-tls-verify: true, tls-server-name: api.example, "
                             "proxy-url: 'socks5://10.0.0.2:1080'",
                    "token: secret"));
    EXPECT_TRUE(connection.insecure_skip_tls_verify);
    EXPECT_EQ(connection.tls_server_name, "api.example");
    EXPECT_EQ(connection.proxy_url, "socks5://10.0.0.2:1080");
    EXPECT_EQ(connection.token, "secret");
    EXPECT_FALSE(read(config(server, "token: secret"), "anonymous").has_credentials());
}

TEST(Kubeconfig, CredentialsAreNotUsedUnencrypted) {
    const Connection connection = read(config("server: 'http://127.0.0.1:8080'", "token: secret"));
    EXPECT_FALSE(connection.has_credentials());
    EXPECT_EQ(
        error(config("server: 'http://10.0.0.1:8080'", "token: secret")),
        "context \"main\" of test.yaml: the API server's URL \"http://10.0.0.1:8080\" is not encrypted | Use https://; "
        "http:// is for servers on this very machine.");
}

TEST(Kubeconfig, MissingPartsAreNamed) {
    EXPECT_EQ(error(config(server, ""), "other"),
              "test.yaml has no context \"other\" | There are \"main\", \"anonymous\", \"lost\", \"nobody\".");
    EXPECT_EQ(error(config(server, ""), "lost"),
              "context \"lost\" of test.yaml names the cluster \"nowhere\", which does not exist | There are \"c\".");
    EXPECT_EQ(error(config(server, ""), "nobody"),
              "context \"nobody\" of test.yaml names the user \"missing\", which does not exist | There are \"u\".");
    EXPECT_EQ(error(config("tls-server-name: x", "")),
              "cluster \"c\" of test.yaml has no server | Add server: https://host:port to it.");
    EXPECT_EQ(error("clusters: []"), "test.yaml names no current context | Give the option context; there are none.");
}

TEST(Kubeconfig, WhatWouldChangeWhoWeAreIsRefused) {
    EXPECT_NE(error(config(server, "auth-provider: {name: gcp}")).find("not supported yet: auth-provider"),
              std::string::npos);
    EXPECT_NE(error(config(server, "username: a, password: b")).find("user name and password"), std::string::npos);
    EXPECT_EQ(error(config(server, "token: x, exec: null")), "read");
}

TEST(Kubeconfig, AProgramForCredentials) {
    const std::string version = "exec: {apiVersion: client.authentication.k8s.io/v1, ";
    const Connection connection =
        read(config(server + ", extensions: [{name: other, extension: 1}, {name: client.authentication.k8s.io/exec, "
                             "extension: {audience: a, n: 1, yes: true, text: '1', list: [1.5, null]}}]",
                    version + "command: ./bin/login, args: [get, '1'], env: [{name: A, value: b}], "
                              "provideClusterInfo: true, installHint: 'brew install login', interactiveMode: Never}"));
    ASSERT_TRUE(connection.exec && connection.has_credentials());
    EXPECT_EQ(connection.exec->command, "/etc/dbnet/bin/login");
    EXPECT_EQ(connection.exec->arguments, (std::vector<std::string>{"get", "1"}));
    EXPECT_EQ(connection.exec->environment, (std::vector<std::pair<std::string, std::string>>{{"A", "b"}}));
    EXPECT_EQ(connection.exec->cluster_config, R"({"audience":"a","list":[1.5,null],"n":1,"text":"1","yes":true})");
    EXPECT_EQ(connection.exec->install_hint, "brew install login");
    EXPECT_EQ(read(config(server, version + "command: login}")).exec->command, "login");
    EXPECT_FALSE(read(config(server, "token: x, " + version + "command: login}")).exec);
    EXPECT_FALSE(read(config("server: 'http://127.0.0.1:8080'", version + "command: login}")).exec);
    EXPECT_EQ(error(config(server, "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}")),
              "user \"u\" of test.yaml: exec has apiVersion \"client.authentication.k8s.io/v1alpha1\", which is not "
              "supported | Programs are asked in client.authentication.k8s.io/v1 or v1beta1.");
    EXPECT_NE(error(config(server, version + "command: a, interactiveMode: Always}")).find("at a terminal"),
              std::string::npos);
    EXPECT_EQ(error(config(server, version + "args: [a]}")), "user \"u\" of test.yaml: exec has no command | ");
    EXPECT_NE(error(config(server, version + "command: a, env: [{name: 'A=B', value: c}]}"))
                  .find("is no environment variable"),
              std::string::npos);
    EXPECT_EQ(
        error(config(server, version + "command: a, env: [{name: LD_PRELOAD, value: /tmp/evil.so}]}")),
        "user \"u\" of test.yaml: exec: env sets LD_PRELOAD, which makes any program run code of other files | The "
        "superuser who lists a program in dbnet.exec_plugins means that program alone.");
    EXPECT_NE(
        error(config(server, version + "command: a, env: [{name: GCONV_PATH, value: /tmp}]}")).find("sets GCONV_PATH"),
        std::string::npos);
}

TEST(Kubeconfig, BadValuesAreNamed) {
    EXPECT_NE(error(config(server + ", certificate-authority-data: '!'", ""))
                  .find("cluster \"c\" of test.yaml: certificate-authority-data is not base64 of a PEM text"),
              std::string::npos);
    EXPECT_NE(error(config(server + ", certificate-authority-data: QUJD", "")).find("is not base64 of a PEM text"),
              std::string::npos);
    EXPECT_NE(error(config(server + ", insecure-skip-tls-verify: maybe", ""))
                  .find("insecure-skip-tls-verify is \"maybe\", neither true nor false"),
              std::string::npos);
    EXPECT_NE(error(config("server: [1]", "")).find("server is not a text"), std::string::npos);
    EXPECT_NE(error(config(server, "client-certificate: c.pem")).find("a client certificate is given without its key"),
              std::string::npos);
    EXPECT_NE(error("a: [").find("test.yaml is not valid YAML"), std::string::npos);
    EXPECT_NE(error("- a").find("test.yaml is not a kubeconfig"), std::string::npos);
    EXPECT_NE(error("").find("test.yaml is not a kubeconfig"), std::string::npos);
    for (const char *odd :
         {"{clusters: 5, contexts: {a: b}, current-context: x}", "{current-context: [1]}",
          "{current-context: x, contexts: [{name: x}], clusters: [1, [2]]}",
          "{current-context: x, contexts: [{name: x, context: 5}], clusters: [{name: '', cluster: 7}]}"})
        EXPECT_NE(error(odd), "read") << odd;
}

TEST_F(KubeconfigFiles, FirstFileToNameAThingWins) {
    const std::string first = write(
        "a/first.yaml", "clusters: [{name: c, cluster: {server: 'https://first:1', certificate-authority: ca.pem}}]");
    const std::string second = write("b/second.yaml", config("server: 'https://second:2'", "tokenFile: token"));
    const Connection connection = from_kubeconfig_files(first + ":" + directory_ + "/missing.yaml::" + second, "");
    EXPECT_EQ(connection.api_url, "https://first:1");
    EXPECT_EQ(connection.ca_file, directory_ + "/a/ca.pem");
    EXPECT_EQ(connection.token_file, directory_ + "/b/token");
}

TEST_F(KubeconfigFiles, MissingFilesAreNamed) {
    const auto message = [](const std::string &list) {
        try {
            from_kubeconfig_files(list, "");
        } catch (const Failure &failure) {
            return std::string(failure.what());
        }
        return std::string("read");
    };
    EXPECT_EQ(message(directory_ + "/x"), "cannot read kubeconfig \"" + directory_ + "/x\": No such file or directory");
    EXPECT_EQ(message("/x:/y"), "none of the kubeconfig files \"/x:/y\" exists");
    EXPECT_EQ(message(""), "no kubeconfig file is named");
    EXPECT_EQ(message(write("big", std::string(1024 * 1024 + 1, '#'))),
              directory_ + "/big is larger than a kubeconfig can be");
}

TEST(KubernetesConnection, Validation) {
    const auto message = [](const std::string &url, auto change) {
        Connection connection;
        connection.api_url = url;
        change(connection);
        try {
            validate(connection);
        } catch (const Failure &failure) {
            return std::string(failure.what());
        }
        return std::string("valid");
    };
    const auto nothing = [](Connection &) {};
    EXPECT_EQ(message("https://10.0.0.1:6443/k8s/clusters/c-1", nothing), "valid");
    EXPECT_EQ(message("https://[::1]:6443", nothing), "valid");
    EXPECT_EQ(message("http://127.0.0.1:1", nothing), "valid");
    EXPECT_EQ(message("http://localhost:1", nothing), "valid");
    EXPECT_NE(message("http://127.0.0.1.evil.example:1", nothing), "valid");
    EXPECT_NE(message("http://localhost.evil.example:1", nothing), "valid");
    EXPECT_NE(message("", nothing), "valid");
    EXPECT_NE(message("10.0.0.1:6443", nothing), "valid");
    EXPECT_NE(message("ftp://10.0.0.1", nothing), "valid");
    EXPECT_NE(message("file:///etc/passwd", nothing), "valid");
    EXPECT_NE(message("https://u:p@10.0.0.1", nothing), "valid");
    EXPECT_NE(message("https://10.0.0.1/?x=1", nothing), "valid");
    EXPECT_EQ(message("http://127.0.0.1:1", [](Connection &connection) { connection.token = "x"; }),
              "credentials are not sent to \"http://127.0.0.1:1\" because it is not encrypted");
    EXPECT_EQ(message("https://a", [](Connection &connection) { connection.token = "x\r\nEvil: y"; }),
              "the bearer token holds a line break");
    EXPECT_EQ(message("https://a", [](Connection &connection) { connection.client_key_pem = "x"; }),
              "a client key is given without its certificate");
    EXPECT_EQ(message("https://a", [](Connection &connection) { connection.proxy_url = "gopher://x"; }),
              "the proxy's URL must start with http://, https:// or socks5://");
    EXPECT_TRUE(is_loopback_url("https://127.1.2.3:6443"));
    EXPECT_FALSE(is_loopback_url("https://10.0.0.1:6443"));
}
