// Reads kubeconfig files; see the header. Runs in backends and in the mirror worker.
#include "kubernetes/credentials/kubeconfig.hpp"

#include "kubernetes/credentials/base64.hpp"
#include "kubernetes/credentials/exec_credential.hpp"
#include "kubernetes/failure.hpp"

#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace dbnet::kubernetes {
namespace {

constexpr size_t largest_file = 1024 * 1024; // bytes

// One kubeconfig with what its errors and relative paths need.
struct File {
    YAML::Node root;
    std::string directory;
    std::string origin;
};

// A named entry of clusters, users or contexts, and the file it came from.
struct Entry {
    YAML::Node body;
    const File *file = nullptr;
    std::string what; // user "admin" of /etc/dbnet/prod.yaml
};

std::string in_quotes(std::string_view text) {
    return '"' + std::string(text) + '"';
}

YAML::Node child(const YAML::Node &node, const char *key) {
    return node.IsMap() ? node[key] : YAML::Node(YAML::NodeType::Undefined);
}

std::string text(const Entry &entry, const char *key) {
    const YAML::Node value = child(entry.body, key);
    if (!value || value.IsNull())
        return {};
    if (!value.IsScalar())
        throw Failure(entry.what + ": " + key + " is not a text");
    return value.Scalar();
}

bool is_set(const Entry &entry, const char *key) {
    const YAML::Node value = child(entry.body, key);
    return value && !value.IsNull() && (!value.IsScalar() || !value.Scalar().empty());
}

bool truth(const Entry &entry, const char *key) {
    const std::string value = text(entry, key);
    if (value.empty() || value == "false")
        return false;
    if (value == "true")
        return true;
    throw Failure(entry.what + ": " + key + " is " + in_quotes(value) + ", neither true nor false");
}

std::string path(const Entry &entry, const char *key) {
    const std::string value = text(entry, key);
    if (value.empty() || value.front() == '/')
        return value;
    return (std::filesystem::path(entry.file->directory) / value).lexically_normal().string();
}

std::string pem(const Entry &entry, const char *key) {
    const std::string value = text(entry, key);
    if (value.empty())
        return {};
    std::optional<std::string> decoded = base64_decode(value);
    if (!decoded || decoded->find("-----BEGIN") == std::string::npos)
        throw Failure(
            entry.what + ": " + key + " is not base64 of a PEM text",
            "Embed the file with \"kubectl config set-... --embed-certs\", or give the file's path without -data.");
    return std::move(*decoded);
}

File parse(std::string_view content, std::string_view directory, std::string_view origin) {
    if (content.size() > largest_file)
        throw Failure(std::string(origin) + " is larger than a kubeconfig can be");
    File file{{}, std::string(directory), std::string(origin)};
    try {
        file.root = YAML::Load(std::string(content));
    } catch (const YAML::Exception &error) {
        throw Failure(std::string(origin) + " is not valid YAML: " + error.what());
    }
    if (!file.root.IsMap())
        throw Failure(std::string(origin) + " is not a kubeconfig", "It must hold clusters, users and contexts.");
    return file;
}

// The names in one of the lists, for errors.
std::string names_of(const std::vector<File> &files, const char *list) {
    std::string names;
    for (const File &file : files)
        for (const YAML::Node &entry : child(file.root, list))
            if (const YAML::Node name = child(entry, "name"); name && name.IsScalar())
                names += (names.empty() ? "" : ", ") + in_quotes(name.Scalar());
    return names.empty() ? "none" : names;
}

std::string origins(const std::vector<File> &files) {
    std::string text;
    for (const File &file : files)
        text += (text.empty() ? "" : ", ") + file.origin;
    return text;
}

// The first entry of that name in the first file that has one.
std::optional<Entry> find(const std::vector<File> &files, const char *list, const char *kind, std::string_view name) {
    for (const File &file : files) {
        const YAML::Node entries = child(file.root, list);
        if (!entries || !entries.IsSequence())
            continue;
        for (const YAML::Node &entry : entries) {
            const YAML::Node found = child(entry, "name");
            if (!found || !found.IsScalar() || found.Scalar() != name)
                continue;
            const YAML::Node body = child(entry, kind);
            return Entry{body ? body : YAML::Node(), &file,
                         std::string(kind) + ' ' + in_quotes(name) + " of " + file.origin};
        }
    }
    return std::nullopt;
}

std::string current_context(const std::vector<File> &files) {
    for (const File &file : files)
        if (const YAML::Node name = child(file.root, "current-context");
            name && name.IsScalar() && !name.Scalar().empty() && name.Scalar() != "null")
            return name.Scalar();
    throw Failure(origins(files) + " names no current context",
                  "Give the option context; there are " + names_of(files, "contexts") + ".");
}

Connection cluster_part(const Entry &cluster) {
    Connection connection;
    connection.api_url = text(cluster, "server");
    if (connection.api_url.empty())
        throw Failure(cluster.what + " has no server", "Add server: https://host:port to it.");
    while (connection.api_url.ends_with('/'))
        connection.api_url.pop_back();
    connection.ca_pem = pem(cluster, "certificate-authority-data");
    if (connection.ca_pem.empty())
        connection.ca_file = path(cluster, "certificate-authority");
    connection.insecure_skip_tls_verify = truth(cluster, "insecure-skip-tls-verify");
    connection.tls_server_name = text(cluster, "tls-server-name");
    connection.proxy_url = text(cluster, "proxy-url");
    return connection;
}

// What would change who we are must never be passed over in silence.
void refuse_unsupported(const Entry &user) {
    if (is_set(user, "auth-provider"))
        throw Failure(user.what + ": not supported yet: auth-provider",
                      "Use a client certificate, a token or tokenFile, for example of a ServiceAccount.");
    if (is_set(user, "username") || is_set(user, "password"))
        throw Failure(user.what + ": not supported: user name and password, which API servers gave up",
                      "Use a client certificate, a token or tokenFile.");
}

std::vector<std::string> texts(const YAML::Node &node, const std::string &what) {
    std::vector<std::string> list;
    if (!node || node.IsNull())
        return list;
    const bool is_list = node.IsSequence() && std::all_of(node.begin(), node.end(),
                                                          [](const YAML::Node &element) { return element.IsScalar(); });
    if (!is_list)
        throw Failure(what + " is not a list of texts");
    for (const YAML::Node &element : node)
        list.push_back(element.Scalar());
    return list;
}

Impersonation impersonation(const Entry &user) {
    Impersonation as;
    as.user = text(user, "as");
    as.uid = text(user, "as-uid");
    as.groups = texts(child(user.body, "as-groups"), user.what + ": as-groups");
    const std::string what = user.what + ": as-user-extra";
    if (const YAML::Node extra = child(user.body, "as-user-extra"); extra && !extra.IsNull()) {
        if (!extra.IsMap())
            throw Failure(what + " is not a map of lists");
        for (const auto &member : extra)
            as.extra[member.first.Scalar()] = texts(member.second, what + " " + in_quotes(member.first.Scalar()));
    }
    return as;
}

// As JSON has it; what is quoted is text.
nlohmann::json to_json(const YAML::Node &node) {
    nlohmann::json json;
    if (node.IsMap()) {
        json = nlohmann::json::object();
        for (const auto &member : node)
            json[member.first.Scalar()] = to_json(member.second);
    } else if (node.IsSequence()) {
        json = nlohmann::json::array();
        for (const YAML::Node &element : node)
            json.push_back(to_json(element));
    } else if (node.IsScalar()) {
        bool truth;
        int64_t integer;
        double number;
        if (node.Tag() == "!")
            json = node.Scalar();
        else if (YAML::convert<bool>::decode(node, truth))
            json = truth;
        else if (YAML::convert<int64_t>::decode(node, integer))
            json = integer;
        else if (YAML::convert<double>::decode(node, number))
            json = number;
        else
            json = node.Scalar();
    }
    return json;
}

// What a cluster keeps for the program of its users.
std::string exec_config(const Entry &cluster) {
    for (const YAML::Node &extension : child(cluster.body, "extensions"))
        if (const YAML::Node name = child(extension, "name");
            name && name.IsScalar() && name.Scalar() == "client.authentication.k8s.io/exec")
            return to_json(child(extension, "extension"))
                .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return {};
}

// Of the dynamic loader and of the C library, which ignore them in programs that have more rights than their user.
bool chooses_libraries(const std::string &name) {
    return name.starts_with("LD_") || name == "GCONV_PATH";
}

ExecPlugin exec_plugin(const Entry &user, const Entry &cluster) {
    const Entry exec{child(user.body, "exec"), user.file, user.what + ": exec"};
    ExecPlugin plugin;
    plugin.api_version = text(exec, "apiVersion");
    if (!is_exec_api_version(plugin.api_version))
        throw Failure(exec.what + " has apiVersion " + in_quotes(plugin.api_version) + ", which is not supported",
                      "Programs are asked in client.authentication.k8s.io/v1 or v1beta1.");
    if (text(exec, "interactiveMode") == "Always")
        throw Failure(exec.what + " wants to talk to somebody at a terminal (interactiveMode Always)",
                      "A database server has none: use other credentials, for example those of a ServiceAccount.");
    plugin.command = text(exec, "command");
    if (plugin.command.empty())
        throw Failure(exec.what + " has no command");
    if (plugin.command.find('/') != std::string::npos)
        plugin.command = path(exec, "command");
    for (const YAML::Node &argument : child(exec.body, "args"))
        plugin.arguments.push_back(argument.Scalar());
    for (const YAML::Node &variable : child(exec.body, "env")) {
        const Entry entry{variable, user.file, exec.what + ": env"};
        const std::string name = text(entry, "name"), value = text(entry, "value");
        if (name.empty() || (name + value).find('\0') != std::string::npos || name.find('=') != std::string::npos)
            throw Failure(entry.what + " holds what is no environment variable");
        if (chooses_libraries(name))
            throw Failure(entry.what + " sets " + name + ", which makes any program run code of other files",
                          "The superuser who lists a program in dbnet.exec_plugins means that program alone.");
        plugin.environment.emplace_back(name, value);
    }
    plugin.provide_cluster_info = truth(exec, "provideClusterInfo");
    if (plugin.provide_cluster_info)
        plugin.cluster_config = exec_config(cluster);
    plugin.install_hint = text(exec, "installHint");
    for (const std::string &given : plugin.arguments)
        if (given.find('\0') != std::string::npos)
            throw Failure(exec.what + ": args holds what is no argument");
    if (plugin.command.find('\0') != std::string::npos)
        throw Failure(exec.what + ": command is no file name");
    return plugin;
}

void add_user_part(Connection &connection, const Entry &user, const Entry &cluster) {
    refuse_unsupported(user);
    connection.client_cert_pem = pem(user, "client-certificate-data");
    if (connection.client_cert_pem.empty())
        connection.client_cert_file = path(user, "client-certificate");
    connection.client_key_pem = pem(user, "client-key-data");
    if (connection.client_key_pem.empty())
        connection.client_key_file = path(user, "client-key");
    connection.token = text(user, "token");
    connection.token_file = path(user, "tokenFile");
    connection.impersonation = impersonation(user);
    if (is_set(user, "exec") && connection.token.empty() && connection.token_file.empty())
        connection.exec = exec_plugin(user, cluster);
}

Connection connection_from(const std::vector<File> &files, std::string_view context_name) {
    const std::string name = context_name.empty() ? current_context(files) : std::string(context_name);
    const std::optional<Entry> context = find(files, "contexts", "context", name);
    if (!context)
        throw Failure(origins(files) + " has no context " + in_quotes(name),
                      "There are " + names_of(files, "contexts") + ".");
    const std::string cluster_name = text(*context, "cluster");
    const std::optional<Entry> cluster = find(files, "clusters", "cluster", cluster_name);
    if (!cluster)
        throw Failure(context->what + " names the cluster " + in_quotes(cluster_name) + ", which does not exist",
                      "There are " + names_of(files, "clusters") + ".");
    Connection connection = cluster_part(*cluster);
    // As in kubectl, credentials never travel unencrypted.
    const std::string user_name = text(*context, "user");
    if (!user_name.empty() && !connection.api_url.starts_with("http://")) {
        const std::optional<Entry> user = find(files, "users", "user", user_name);
        if (!user)
            throw Failure(context->what + " names the user " + in_quotes(user_name) + ", which does not exist",
                          "There are " + names_of(files, "users") + ".");
        add_user_part(connection, *user, *cluster);
    }
    try {
        validate(connection);
    } catch (const Failure &failure) {
        throw Failure(context->what + ": " + failure.what(), failure.hint());
    }
    return connection;
}

std::string read_file(const std::string &name) {
    std::ifstream file(name, std::ios::binary);
    if (!file)
        throw Failure("cannot read kubeconfig " + in_quotes(name) + ": " + std::strerror(errno),
                      "The server process must be able to read it.");
    std::string content(largest_file + 1, '\0');
    file.read(content.data(), static_cast<std::streamsize>(content.size()));
    if (file.bad())
        throw Failure("cannot read kubeconfig " + in_quotes(name) + ": " + std::strerror(errno));
    content.resize(static_cast<size_t>(file.gcount()));
    return content;
}

// yaml-cpp reports wrong shapes by exceptions of its own; none may get past this file.
template<class Body> auto with_yaml_errors(std::string_view origin, Body body) {
    try {
        return body();
    } catch (const YAML::Exception &error) {
        throw Failure(std::string(origin) + " is not a kubeconfig: " + error.what());
    }
}

} // namespace

Connection from_kubeconfig_text(std::string_view text, std::string_view context, std::string_view directory,
                                std::string_view origin) {
    return with_yaml_errors(origin, [&] {
        std::vector<File> files;
        files.push_back(parse(text, directory, origin));
        return connection_from(files, context);
    });
}

Connection from_kubeconfig_files(std::string_view path_list, std::string_view context) {
    return with_yaml_errors(path_list, [&] {
        std::vector<std::string> names;
        for (size_t at = 0; at <= path_list.size();) {
            const size_t end = std::min(path_list.find(':', at), path_list.size());
            if (end > at)
                names.emplace_back(path_list.substr(at, end - at));
            at = end + 1;
        }
        std::vector<File> files;
        for (const std::string &name : names)
            if (names.size() == 1 || std::filesystem::exists(name))
                files.push_back(parse(read_file(name), std::filesystem::path(name).parent_path().string(), name));
        if (files.empty())
            throw Failure(names.empty() ? "no kubeconfig file is named"
                                        : "none of the kubeconfig files " + in_quotes(path_list) + " exists");
        return connection_from(files, context);
    });
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
