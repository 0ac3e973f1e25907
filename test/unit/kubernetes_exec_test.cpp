// Credentials from a program: what it is told, what is made of what it says, and how the transport waits for it, asks
// it again, and gets rid of it. Client certificates that are replaced, by a program or in their files.
#include "kubernetes/credentials/exec_credential.hpp"
#include "kubernetes/failure.hpp"
#include "test/unit/kubernetes_transport_support.hpp"

#include <nlohmann/json.hpp>

#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>

using namespace dbnet::test;

namespace {

const std::string v1 = "client.authentication.k8s.io/v1";

std::string credential(const std::string &status) {
    return R"({"apiVersion": ")" + v1 + R"(", "kind": "ExecCredential", "status": )" + status + "}";
}

std::string refusal(const std::string &output) {
    try {
        parse_exec_credential(output, v1);
    } catch (const Failure &failure) {
        return failure.what();
    }
    return "read";
}

// In the time zone of the API.
std::string in_seconds(int seconds) {
    const time_t when = time(nullptr) + seconds;
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&when));
    return text;
}

class KubernetesExec : public TransportTest {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "exec.XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    // A connection whose program is this shell script.
    Connection with_program(const Server &server, const std::string &script) {
        const std::string path = directory_ + "/program";
        std::ofstream(path) << "#!/bin/sh\n" << script << '\n';
        chmod(path.c_str(), 0700);
        Connection connection = to(server);
        connection.exec = ExecPlugin();
        connection.exec->api_version = v1;
        connection.exec->command = path;
        return connection;
    }
    std::string counting() const { return "echo run >> " + directory_ + "/runs; "; }
    std::string content(const std::string &name) const {
        std::ostringstream text;
        text << std::ifstream(directory_ + '/' + name).rdbuf();
        return text.str();
    }
    // What such a script prints.
    void give_certificate(const dbnet::test::Certificates &certificates, const std::string &expires = {}) {
        nlohmann::json status = {{"clientCertificateData", certificates.client_certificate},
                                 {"clientKeyData", certificates.client_key}};
        if (!expires.empty())
            status["expirationTimestamp"] = expires;
        std::ofstream(directory_ + "/credential.new") << credential(status.dump());
        std::filesystem::rename(directory_ + "/credential.new", directory_ + "/credential");
    }
    size_t runs() const { return content("runs").size() / 4; }

    std::string directory_;
};

bool is_alive(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/stat");
    std::string number, name, state;
    return static_cast<bool>(status >> number >> name >> state) && state != "Z";
}

} // namespace

TEST(ExecCredential, IsRead) {
    const ExecCredential token =
        parse_exec_credential(credential(R"({"token": "abc", "expirationTimestamp": "2026-11-23T08:44:46Z"})"), v1);
    EXPECT_EQ(token.token, "abc");
    EXPECT_EQ(token.expires_at, 1795423486000000);
    const std::string pem = "-----BEGIN X-----\\nAA==\\n-----END X-----\\n";
    const ExecCredential certificate = parse_exec_credential(
        credential(R"({"clientCertificateData": ")" + pem + R"(", "clientKeyData": ")" + pem + R"("})"), v1);
    EXPECT_EQ(certificate.client_certificate_pem, "-----BEGIN X-----\nAA==\n-----END X-----\n");
    EXPECT_EQ(certificate.client_key_pem, certificate.client_certificate_pem);
    EXPECT_EQ(certificate.expires_at, std::nullopt);
}

TEST(ExecCredential, WhatIsNoneIsRefusedWithoutRepeatingIt) {
    EXPECT_EQ(refusal("hunter2"), "it did not print an ExecCredential");
    EXPECT_EQ(refusal("{}"), "it did not print an ExecCredential");
    EXPECT_EQ(refusal(R"({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1"})"),
              "it answered in another version than client.authentication.k8s.io/v1");
    EXPECT_EQ(refusal(credential("null")), "it gave neither a token nor a client certificate");
    EXPECT_EQ(refusal(credential(R"({"token": "a\r\nX: b"})")), "its token holds a character that no bearer token has");
    EXPECT_EQ(refusal(credential(R"({"token": "a", "clientKeyData": "hunter2"})")),
              "its clientKeyData is not PEM text");
    EXPECT_EQ(refusal(credential(R"({"clientKeyData": "-----BEGIN X"})")),
              "it gave a client certificate without its key, or a key alone");
    for (const char *time : {"\"tomorrow\"", "5", "{}"})
        EXPECT_EQ(refusal(credential(std::string(R"({"token": "a", "expirationTimestamp": )") + time + "}")),
                  "its expirationTimestamp is no point in time");
}

TEST(ExecCredential, TheClusterIsToldOnRequest) {
    Connection connection;
    connection.api_url = "https://a:1";
    connection.exec = ExecPlugin();
    connection.exec->api_version = v1;
    EXPECT_EQ(nlohmann::json::parse(exec_info(connection, "ca")),
              nlohmann::json::parse(R"({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                                        "spec": {"interactive": false}})"));
    connection.exec->provide_cluster_info = true;
    connection.exec->cluster_config = R"({"audience": "a"})";
    connection.tls_server_name = "b";
    EXPECT_EQ(nlohmann::json::parse(exec_info(connection, "c?"))["spec"]["cluster"],
              nlohmann::json::parse(R"({"server": "https://a:1", "tls-server-name": "b", "config": {"audience": "a"},
                                        "certificate-authority-data": "Yz8="})"));
}

TEST(ExecCredential, ErrorsAreShownWithoutSecrets) {
    ExecPlugin plugin;
    plugin.environment = {{"AWS_PROFILE", "production-admin"}, {"AWS_SECRET_ACCESS_KEY", "hunter2hunter2"}};
    EXPECT_EQ(shown_errors("profile 'production-admin':\n\tnot logged in at https://sts.eu-central-1.amazonaws.com\n",
                           "", plugin),
              "profile 'production-admin': not logged in at https://sts.eu-central-1.amazonaws.com");
    EXPECT_EQ(shown_errors("key=hunter2hunter2", "", plugin), "key=[hidden]");
    EXPECT_EQ(shown_errors("sent a-secret-word.", R"({"token": "a-secret-word."})", plugin), "sent [hidden]");
    EXPECT_EQ(shown_errors("got eyJhbGciOiJSUzI1NiIsImtpZCI6Ij.x.y", "", plugin), "got [hidden]");
    const std::string shown = shown_errors(std::string(500, 'x') + " " + std::string(90, 'y') + " end", "", plugin);
    EXPECT_EQ(shown, "... " + std::string(90, 'y') + " end");
    EXPECT_EQ(shown_errors("b\xc3\xb6se\x01", "", plugin), "b??se");
}

TEST_F(KubernetesExec, RequestsWaitForItAndShareItsAnswer) {
    std::mutex mutex;
    std::set<std::string> seen;
    Server server(Security::tls, [&](Exchange &exchange) {
        const std::lock_guard lock(mutex);
        seen.insert(exchange.header("authorization"));
        answer_ok(exchange);
    });
    const Connection connection = with_program(
        server, counting() +
                    "cat >/dev/null; echo \"$KUBERNETES_EXEC_INFO|$1|$SECRET|$(ls /proc/$$/fd/77)|$DBNET_TEST\" > " +
                    directory_ + "/told; echo '" + credential(R"({"token": "first"})") + "'");
    Connection described = connection;
    described.exec->arguments = {"get token; $(false)"};
    described.exec->environment = {{"SECRET", "s"}};
    setenv("DBNET_TEST", "ours alone", 1);
    ASSERT_EQ(dup2(STDIN_FILENO, 77), 77);
    Transport transport;
    int answers = 0;
    for (int i = 0; i < 10; i++)
        transport.send(described, get(), [&](Response &&response) { answers += response.status == 200; });
    EXPECT_EQ(transport.in_flight(), 0U);
    pump(transport, [&] { return answers == 10; });
    EXPECT_EQ(exchange(transport, described, get()).status, 200);
    close(77);
    EXPECT_EQ(seen, std::set<std::string>{"Bearer first"});
    EXPECT_EQ(runs(), 1U);
    const std::string told = content("told");
    EXPECT_TRUE(told.starts_with(
        R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}|get token; $(false)|s|)"))
        << told;
    EXPECT_TRUE(told.ends_with("|s||\n")) << told; // nothing of our files and our environment
}

TEST_F(KubernetesExec, IsAskedAgainWhenTheServerRefuses) {
    std::atomic<int> valid = 1;
    Server server(Security::tls, [&](Exchange &exchange) {
        const bool is_good = exchange.header("authorization") == "Bearer " + std::to_string(valid);
        exchange.answer(is_good ? 200 : 401, exchange.body);
    });
    const Connection connection = with_program(server, counting() + "n=$(wc -l < " + directory_ + "/runs); echo '" +
                                                           credential(R"({"token": "'$n'"})") + "'");
    Transport transport;
    EXPECT_EQ(exchange(transport, connection, get()).status, 200);
    valid = 2; // as when it is revoked; what has just been given is believed for a moment
    int refused = 0;
    Response response;
    while ((response = exchange(transport, connection, post("sent again"))).status == 401)
        refused++;
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "sent again");
    EXPECT_EQ(runs(), 2U);
    EXPECT_EQ(server.requests, 1 + refused + 2);
    // A watch asks again as well.
    valid = 3;
    bool is_over = false;
    while (runs() < 3) {
        Request watch = get("/watch");
        transport.stream(
            connection, watch, [](std::string_view) {}, [&](Response &&) { is_over = true; });
        pump(transport, [&] { return std::exchange(is_over, false); });
    }
}

TEST_F(KubernetesExec, FreshCredentialsThatAreRefusedAreNoReasonToAskAtOnce) {
    Server server(Security::tls, [](Exchange &exchange) { exchange.answer(401, "{}"); });
    const Connection connection = with_program(server, counting() + "echo '" + credential(R"({"token": "x"})") + "'");
    Transport transport;
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(exchange(transport, connection, get()).status, 401);
    EXPECT_EQ(runs(), 1U);
    EXPECT_EQ(server.requests, 3);
}

TEST_F(KubernetesExec, ExpiredCredentialsAreNotUsed) {
    Server server(Security::tls, [](Exchange &exchange) { exchange.answer(200, exchange.header("authorization")); });
    const Connection connection =
        with_program(server, counting() + "echo '" +
                                 credential(R"({"token": "'$(wc -l < )" + directory_ +
                                            R"(/runs)'", "expirationTimestamp": ")" + in_seconds(6) + R"("})") +
                                 "'");
    Transport transport;
    EXPECT_EQ(exchange(transport, connection, get()).body, "Bearer 1");
    // The second run's credentials expire at the same time: when that is past they are refused without a request.
    std::string error;
    while (error.empty())
        error = exchange(transport, connection, get()).transport_error;
    EXPECT_EQ(error, server.url() + ": no credentials: \"" + connection.exec->command +
                         "\": it gave credentials that have expired");
    EXPECT_GE(runs(), 2U);
}

TEST_F(KubernetesExec, ACertificateIsUsedAndReplaced) {
    std::atomic<bool> is_revoked = false, is_renewed = false;
    Server server(Security::tls_with_client_certificate, [&](Exchange &exchange) {
        const bool is_slow = exchange.target.starts_with("/slow");
        while (is_slow && !is_renewed)
            usleep(1000);
        exchange.answer(!is_slow && is_revoked && exchange.client == "tester" ? 401 : 200, exchange.client);
    });
    give_certificate(server.certificates());
    const Connection connection = with_program(server, counting() + "cat " + directory_ + "/credential");
    Transport transport;
    std::optional<Response> slow;
    transport.send(connection, get("/slow"), [&](Response &&response) { slow = std::move(response); });
    EXPECT_EQ(exchange(transport, connection, get()).body, "tester");
    give_certificate(with_client(server.certificates(), "renewed"));
    is_revoked = true; // what has just been given is believed for a moment
    while (exchange(transport, connection, get()).status == 401) {
    }
    EXPECT_EQ(runs(), 2U);
    is_renewed = true;
    pump(transport, [&] { return slow.has_value(); });
    EXPECT_EQ(slow->body, "tester")
        << slow->transport_error; // it was under way, and what it was sent with is not used again
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(exchange(transport, connection, get()).body, "renewed");
}

TEST_F(KubernetesExec, AStreamMovesToTheNextCertificateBeforeItsOwnExpires) {
    Server server(Security::tls_with_client_certificate, [](Exchange &exchange) {
        exchange.begin_stream();
        exchange.chunk(exchange.client + "\nbegun");
        exchange.wait_closed();
    });
    give_certificate(server.certificates(), in_seconds(10));
    const Connection connection = with_program(server, counting() + "cat " + directory_ + "/credential");
    Transport transport;
    std::string client;
    std::optional<Response> end;
    const auto stream = [&] {
        transport.stream(
            connection, get("/watch"), [&](std::string_view line) { client = line; },
            [&](Response &&response) { end = std::move(response); });
    };
    stream();
    pump(transport, [&] { return !client.empty(); });
    EXPECT_EQ(client, "tester");
    give_certificate(with_client(server.certificates(), "renewed"));
    pump(transport, [&] { return end.has_value(); }); // nothing else is sent
    EXPECT_EQ(end->status, 200);
    EXPECT_EQ(end->transport_error, "");
    EXPECT_EQ(runs(), 2U);
    client.clear();
    stream();
    pump(transport, [&] { return !client.empty(); });
    EXPECT_EQ(client, "renewed");
    EXPECT_EQ(runs(), 2U);
}

TEST_F(KubernetesExec, ACertificateThatIsReplacedInItsFilesCountsForAll) {
    Server server(Security::tls_with_client_certificate, [](Exchange &exchange) {
        if (!exchange.target.starts_with("/watch"))
            return exchange.answer(200, exchange.client);
        exchange.begin_stream();
        exchange.chunk(exchange.client + "\n");
        exchange.wait_closed();
    });
    Connection connection = to(server);
    const auto write = [&](const dbnet::test::Certificates &certificates) {
        std::ofstream(connection.client_cert_file = directory_ + "/client.pem") << certificates.client_certificate;
        std::ofstream(connection.client_key_file = directory_ + "/key.pem") << certificates.client_key;
    };
    write(server.certificates());
    Transport transport;
    std::string watcher;
    bool is_over = false;
    transport.stream(
        connection, get("/watch"), [&](std::string_view line) { watcher = line; },
        [&](Response &&response) { is_over = response.status == 200 && response.transport_error.empty(); });
    pump(transport, [&] { return !watcher.empty(); });
    EXPECT_EQ(watcher, "tester");
    EXPECT_EQ(exchange(transport, connection, get()).body, "tester");
    const dbnet::test::Certificates renewed = with_client(server.certificates(), "renewed");
    std::ofstream(connection.client_cert_file) << renewed.client_certificate;
    for (int i = 0; i < 3; i++)
        transport.look_at_files();
    EXPECT_EQ(exchange(transport, connection, get()).body, "tester"); // a key of its own is to follow
    write(renewed);
    transport.look_at_files(); // somebody may still be writing
    EXPECT_EQ(exchange(transport, connection, get()).body, "tester");
    EXPECT_FALSE(is_over);
    transport.look_at_files();
    EXPECT_EQ(exchange(transport, connection, get()).body, "renewed");
    pump(transport, [&] { return is_over; });
    std::filesystem::remove(connection.client_key_file);
    for (int i = 0; i < 3; i++)
        transport.look_at_files();
    EXPECT_EQ(exchange(transport, connection, get()).body, "renewed"); // as long as there is no other
}

TEST_F(KubernetesExec, WhatIsReplacedInFilesCountsForAllRequestsUnderWay) {
    for (const bool with_token : {false, true}) {
        std::atomic<int> refused{0};
        Server server(Security::tls_with_client_certificate, [&](Exchange &exchange) {
            if (with_token ? exchange.header("authorization") == "Bearer new" : exchange.client == "renewed")
                return exchange.answer(200, exchange.target);
            ++refused;
            while (refused < 2)
                usleep(1000);
            exchange.answer(401, "{}");
        });
        Connection connection = to(server);
        const auto write = [&](const dbnet::test::Certificates &certificates, const char *token) {
            std::ofstream(connection.client_cert_file = directory_ + "/client.pem") << certificates.client_certificate;
            std::ofstream(connection.client_key_file = directory_ + "/key.pem") << certificates.client_key;
            if (with_token)
                std::ofstream(connection.token_file = directory_ + "/token") << token;
        };
        write(server.certificates(), "old");
        Transport transport;
        std::vector<Response> answers;
        for (const char *path : {"/a", "/b"})
            transport.send(connection, get(path), [&](Response &&answer) { answers.push_back(std::move(answer)); });
        write(with_token ? server.certificates() : with_client(server.certificates(), "renewed"), "new");
        pump(transport, [&] { return answers.size() == 2; });
        EXPECT_EQ(answers[0].status, 200) << with_token;
        EXPECT_EQ(answers[1].status, 200) << with_token;
        EXPECT_EQ(refused, 2) << with_token;
    }
}

TEST_F(KubernetesExec, FailuresSayWhy) {
    Server server(Security::tls, answer_ok);
    const auto error = [&](const Connection &connection) {
        Transport transport;
        std::string error = exchange(transport, connection, get()).transport_error;
        const std::string before = server.url() + ": no credentials: ";
        EXPECT_TRUE(error.starts_with(before)) << error;
        return error.substr(std::min(before.size(), error.size()));
    };
    Connection connection = with_program(server, "echo 'you are not logged in' >&2; exit 3");
    const std::string name = '"' + connection.exec->command + '"';
    EXPECT_EQ(error(connection), name + " ended with status 3: you are not logged in");
    EXPECT_EQ(error(with_program(server, "kill -9 $$")), name + " was ended by signal 9");
    EXPECT_EQ(error(with_program(server, "exec /bin/no-such-program")).substr(0, name.size() + 23),
              name + " ended with status 127:");
    EXPECT_EQ(error(with_program(server, "echo hello")),
              name +
                  ": it did not print an ExecCredential. Run it by hand, as the database server's user: it must print "
                  "one as JSON, and nothing else.");
    EXPECT_EQ(error(with_program(server, "yes")), name + " printed more than 1048576 bytes");
    connection.exec->command += ".missing";
    connection.exec->install_hint = "Install it from there.";
    EXPECT_EQ(error(connection),
              "cannot run \"" + connection.exec->command + "\": No such file or directory. Install it from there.");
    EXPECT_EQ(server.requests, 0);
}

TEST_F(KubernetesExec, WhatComplainsWithoutEndIsKilledInTime) {
    Server server(Security::tls, answer_ok);
    Connection connection = with_program(server, "exec yes >&2");
    connection.exec->time_limit = std::chrono::milliseconds(300);
    Transport transport;
    EXPECT_EQ(exchange(transport, connection, get()).transport_error,
              server.url() + ": no credentials: \"" + connection.exec->command + "\" did not end within 1 s");
}

TEST_F(KubernetesExec, WhatTakesTooLongIsKilledWithAllItStarted) {
    Server server(Security::tls, answer_ok);
    Connection connection = with_program(server, "sleep 1000 & echo $! $$ > " + directory_ + "/processes; wait");
    connection.exec->time_limit = std::chrono::milliseconds(300);
    Transport transport;
    EXPECT_EQ(exchange(transport, connection, get()).transport_error,
              server.url() + ": no credentials: \"" + connection.exec->command + "\" did not end within 1 s");
    std::ifstream processes(directory_ + "/processes");
    pid_t child = 0, program = 0;
    ASSERT_TRUE(processes >> child >> program);
    for (const pid_t process : {child, program})
        while (is_alive(process))
            usleep(1000);
}

TEST_F(KubernetesExec, EndsWithWhoAsked) {
    Server server(Security::tls, answer_ok);
    const Connection connection = with_program(server, "echo $$ > " + directory_ + "/p; mv " + directory_ + "/p " +
                                                           directory_ + "/process; exec sleep 1000");
    pid_t program = 0;
    {
        Transport transport;
        bool answered = false;
        const Transport::Id id = transport.send(connection, get(), [&](Response &&) { answered = true; });
        while (program == 0) {
            transport.run();
            std::ifstream(directory_ + "/process") >> program;
        }
        EXPECT_TRUE(is_alive(program));
        transport.cancel(id);
        EXPECT_FALSE(answered);
    }
    while (is_alive(program))
        usleep(1000);
}

TEST_F(KubernetesExec, OthersAreNotKeptWaiting) {
    Server slow(Security::tls, answer_ok), fast(Security::tls, answer_ok);
    Transport transport;
    bool slow_answered = false;
    transport.send(with_program(slow, "exec sleep 1000"), get(), [&](Response &&) { slow_answered = true; });
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(exchange(transport, to(fast), get()).status, 200);
    EXPECT_FALSE(slow_answered);
}
