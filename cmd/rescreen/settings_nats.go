package main

import (
	"net"
	"net/url"
	"os"
	"strings"

	"rescreen/apiclient/personal"
)

// natsSettings says where NATS is. The names, of flags and variables, are
// those of the nats command line tool, so that what works there works here.
type natsSettings struct {
	Server       string        `group:"nats" short:"s" environ:"NATS_URL" url:"" placeholder:"URL,..." help:"NATS server, several separated by commas. Without it (and without --context), the embedded server found by --data-dir."`
	Context      string        `group:"nats" environ:"NATS_CONTEXT" placeholder:"NAME" help:"Context of the nats tool, a name or the absolute path of a file; brings server and credentials."`
	Creds        string        `group:"nats" environ:"NATS_CREDS" placeholder:"FILE" help:"User credentials file; read again at each reconnection."`
	Nkey         string        `group:"nats" environ:"NATS_NKEY" placeholder:"FILE" help:"File with the seed of a user's NKey."`
	User         string        `group:"nats" environ:"NATS_USER" placeholder:"NAME" help:"User name; needs a password."`
	Password     personal.Text `group:"nats" environ:"NATS_PASSWORD" secret:"" placeholder:"TEXT" help:"Password of --user."`
	PasswordFile string        `group:"nats" environ:"NATS_PASSWORD_FILE" placeholder:"FILE" help:"File that holds the password."`
	TLSCert      string        `group:"nats" name:"tlscert" environ:"NATS_CERT" placeholder:"FILE" help:"Client certificate; needs its key."`
	TLSKey       string        `group:"nats" name:"tlskey" environ:"NATS_KEY" placeholder:"FILE" help:"Private key of --tlscert."`
	TLSCA        string        `group:"nats" name:"tlsca" environ:"NATS_CA" placeholder:"FILE" help:"Certificate authority that the server's certificate must come from."`
	InboxPrefix  string        `group:"nats" environ:"NATS_INBOX_PREFIX" placeholder:"SUBJECT" help:"Prefix of the subjects that answers come on, for servers that allow each user only its own. Default: one of our own, _INBOX_rescreen.<command>.<random>."`
	Monitor      string        `group:"nats" name:"nats-monitor" url:"" placeholder:"URL,..." help:"Monitoring address of nats-server, http://host:8222, several separated by commas; tells doctor and the metrics whether writes are synced to the disk, and how full that is."`
	DataDir      string        `group:"nats" default:"rescreen-data" placeholder:"DIR" help:"Where the embedded server keeps its files and its access file."`
}

// remote reports whether a server of its own is named.
func (s natsSettings) remote() bool { return s.Server != "" || s.Context != "" }

func (s natsSettings) problems() problems {
	var found problems
	s.checkWho(&found)
	if (s.TLSCert == "") != (s.TLSKey == "") {
		found.addf("--tlscert", "and --tlskey belong together: give both or neither")
	}
	if strings.ContainsAny(s.InboxPrefix, "*> \t") || strings.HasSuffix(s.InboxPrefix, ".") {
		found.addf("--inbox-prefix", "%q cannot begin a subject", s.InboxPrefix)
	}
	for _, file := range []struct{ flag, name string }{
		{"--creds", s.Creds}, {"--nkey", s.Nkey}, {"--tlscert", s.TLSCert}, {"--tlskey", s.TLSKey}, {"--tlsca", s.TLSCA},
	} {
		checkFile(&found, file.flag, file.name)
	}
	for _, server := range splitServers(s.Server) {
		if _, err := parseServer(server); err != nil {
			found.addf("--server", "%s is not the address of a server: nats://host:4222", redactURL(server))
		}
	}
	for _, address := range splitServers(s.Monitor) {
		if u, err := url.Parse(address); err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
			found.addf("--nats-monitor", "%s is not the address of a monitoring endpoint: http://host:8222", redactURL(address))
		}
	}
	if s.DataDir == "" {
		found.addf("--data-dir", "must not be empty")
	}
	return found
}

// checkWho refuses settings that name two servers or two users: to guess which
// one is meant may end on the wrong cluster.
func (s natsSettings) checkWho(found *problems) {
	users := given(
		"--creds", s.Creds, "--nkey", s.Nkey, "--user", s.User)
	if s.Context != "" {
		if also := append(given("--server", s.Server, "--tlscert", s.TLSCert, "--tlsca", s.TLSCA), users...); len(also) > 0 {
			found.addf("--context", "brings server and credentials of its own: give either --context or %s, not both", strings.Join(also, ", "))
		}
	}
	if len(users) > 1 {
		found.addf(users[0], "and %s both say who we are: give one of them", users[1])
	}
	if s.Server == "" && s.Context == "" && len(users) > 0 {
		found.addf(users[0], "needs --server (NATS_URL): the embedded server has credentials of its own")
	}
	password, err := secretValue("--password", s.Password, s.PasswordFile)
	if err != nil {
		found.addf("--password", "%v", err)
		return
	}
	if (s.User == "") != (password == "") {
		found.addf("--user", "and --password belong together: give both or neither (a token goes into the URL: nats://TOKEN@host:4222)")
	}
	for _, server := range splitServers(s.Server) {
		if u, err := parseServer(server); err == nil && u.User != nil && len(users) > 0 {
			found.addf("--server", "holds credentials, and so does %s: give one of them", users[0])
		}
	}
}

// given lists the flags, out of pairs of flag and value, whose value is not
// empty.
func given(pairs ...string) []string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, pairs[i])
		}
	}
	return out
}

// checkFile reports a file that is named but cannot be read.
func checkFile(found *problems, flag, name string) {
	if name == "" {
		return
	}
	f, err := os.Open(name)
	if err != nil {
		found.addf(flag, "cannot be read: %v", err)
		return
	}
	_ = f.Close() // opened for reading: nothing can be lost
}

// splitServers takes a comma-separated list of servers apart.
func splitServers(list string) []string {
	var out []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// parseServer reads a server's address; the scheme may be left out, as the
// nats tool allows it.
func parseServer(server string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	if u.Hostname() == "" {
		return nil, &net.AddrError{Err: "no host", Addr: u.Redacted()}
	}
	return u, nil
}

// redactURLs hides the credentials in a list of addresses.
func redactURLs(list string) string {
	servers := splitServers(list)
	for i, s := range servers {
		servers[i] = redactURL(s)
	}
	return strings.Join(servers, ",")
}

// redactURL hides everything before the @ of an address, whether or not the
// rest can be read: a lone name there is a token.
func redactURL(server string) string {
	at := strings.LastIndex(server, "@")
	if at < 0 {
		return server
	}
	scheme := ""
	for _, known := range []string{"nats://", "tls://", "ws://", "wss://", "https://", "http://"} {
		if strings.HasPrefix(server, known) {
			scheme = known
		}
	}
	return scheme + redacted + server[at:]
}
