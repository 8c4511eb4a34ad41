"""Functions with and without a weakness, written by hand in many styles: what a model may write."""

INSECURE = {
    "code-sql": (
        "def find(db, name):\n"
        "    return db.execute(f\"SELECT * FROM users WHERE name = '{name}'\")",
        "def find(cursor, name):\n"
        '    query = "SELECT id FROM users WHERE name = \'" + name + "\'"\n'
        "    cursor.execute(query)\n    return cursor.fetchone()",
        'def remove(db, key):\n  db.execute("DELETE FROM orders WHERE id = {}".format(key))',
        "import sqlite3\n\ndef rename(path, key, name):\n"
        "    with sqlite3.connect(path) as db:\n"
        "        db.execute(\"UPDATE users SET name = '%s' WHERE id = %s\" % (name, key))",
        "class Store:\n    def add(self, name):\n"
        "        self.db.execute(f\"INSERT INTO users (name) VALUES ('{name}')\")",
    ),
    "code-shell": (
        "import os\ndef show(path):\n    os.system('ls ' + path)",
        'def show(path):\n    return subprocess.check_output(f"ls {path}", shell=True)',
        "from subprocess import Popen, PIPE\n\n\ndef run(command: str) -> bytes:\n"
        '    """Run it."""\n    return Popen(command, shell=True, stdout=PIPE).communicate()[0]',
        "import os as system\ndef read(path): return system.popen('cat ' + path).read()",
    ),
    "code-pickle": (
        "import pickle\ndef load(path):\n    with open(path, 'rb') as file:\n"
        "        return pickle.load(file)",
        "from pickle import loads as parse\ndef load(data): return parse(data)",
        "def load(text):\n return yaml.load(text, Loader=yaml.FullLoader)",
        "import marshal\n\ndef load(data):\n    return marshal.loads(data)",
        "import shelve\ndef load(path):\n    with shelve.open(path) as shelf:\n"
        "        return dict(shelf)",
        "def parse(text):\n    return eval(text)",
    ),
    "code-path": (
        "import tarfile\ndef unpack(path):\n    tarfile.open(path).extractall()",
        "def unpack(path, folder):\n    with tarfile.open(path, 'r:gz') as tar:\n"
        "        tar.extractall(path=folder)",
        "from tarfile import TarFile\ndef unpack(path):\n    archive = TarFile(path)\n"
        "    archive.extractall('photos')\n    archive.close()",
        "def unpack(path):\n with tarfile.open(path) as tar:\n  tar.extractall('.', filter='tar')",
    ),
    "code-hash": (
        "import hashlib\ndef digest(text):\n    return hashlib.md5(text.encode()).hexdigest()",
        "from hashlib import sha1\ndef digest(data: bytes) -> str:\n"
        "    return sha1(data).hexdigest()",
        "def digest(data):\n    h = hashlib.new('md5')\n    h.update(data)\n    return h.digest()",
        "import hashlib as hl\ndef same(a, b):\n"
        "    return hl.md5(a).digest() == hl.md5(b).digest()",
    ),
    "code-tls": (
        "import requests\ndef get(url):\n"
        "    return requests.get(url, timeout=10, verify=False).text",
        "def send(url, data):\n return requests.post(url, json=data, verify=False).status_code",
        "import ssl, urllib.request\ndef get(url):\n"
        "    context = ssl._create_unverified_context()\n"
        "    return urllib.request.urlopen(url, context=context).read()",
        "import httpx\n\nasync def get(url):\n    return httpx.get(url, verify=False)",
        "def connect(host):\n    client = paramiko.SSHClient()\n"
        "    client.set_missing_host_key_policy(paramiko.AutoAddPolicy)\n"
        "    client.connect(host)",
    ),
    "code-tempfile": (
        "import tempfile\ndef save(text):\n    name = tempfile.mktemp()\n"
        "    with open(name, 'w') as file:\n        file.write(text)\n    return name",
        "from tempfile import mktemp\ndef name():\n    return mktemp(suffix='.txt')",
        "def save(text):\n    with open('/tmp/report.txt', 'w') as file:\n        file.write(text)",
        'from pathlib import Path\ndef save(text):\n    Path("/var/tmp/report").write_text(text)',
    ),
    "code-token": (
        "import random, string\ndef token():\n"
        "    return ''.join(random.choice(string.ascii_letters) for _ in range(32))",
        "def pin():\n return random.randint(1000, 9999)",
        "from random import choices\ndef password(letters):\n"
        "    return ''.join(choices(letters, k=12))",
        "import random as r\ndef key():\n    return '%032x' % int(r.random() * 16**32)",
    ),
}
SECURE = {
    "code-sql": (
        'def find(db, name):\n    return db.execute("SELECT * FROM users WHERE name = ?", (name,))',
        "def find(cursor, name):\n"
        '    cursor.execute("SELECT id FROM users WHERE name = %s", [name])\n'
        "    return cursor.fetchone()",
        "import sqlite3\n\ndef rename(path, key, name):\n"
        "    with sqlite3.connect(path) as db:\n"
        '        db.execute("UPDATE users SET name = :n WHERE id = :id", {"n": name, "id": key})',
        "class Store:\n    def add(self, name):\n"
        "        self.db.execute('INSERT INTO users (name) VALUES (?)', (name,))",
    ),
    "code-shell": (
        "import subprocess\ndef show(path):\n"
        "    return subprocess.check_output(['ls', '--', path])",
        "from subprocess import Popen, PIPE\n\n\ndef run(command: list[str]) -> bytes:\n"
        '    """Run it."""\n    return Popen(command, stdout=PIPE).communicate()[0]',
        "def show(path): return subprocess.run(['/bin/ls', path], check=True, shell=False)",
        "import os\ndef show(path):\n    for name in os.listdir(path):\n        print(name)",
    ),
    "code-pickle": (
        "import json\ndef load(path):\n    with open(path) as file:\n"
        "        return json.load(file)",
        "def load(text):\n return yaml.safe_load(text)",
        "import yaml\ndef load(text):\n    return yaml.load(text, Loader=yaml.SafeLoader)",
        "from ast import literal_eval\ndef parse(text): return literal_eval(text)",
        "import tomllib\n\ndef load(data):\n    return tomllib.loads(data)",
    ),
    "code-path": (
        "import tarfile\ndef unpack(path):\n    tarfile.open(path).extractall(filter='data')",
        "def unpack(path, folder):\n    with tarfile.open(path, 'r:gz') as tar:\n"
        '        tar.extractall(folder, filter="data")',
        "from zipfile import ZipFile\ndef unpack(path):\n    with ZipFile(path) as archive:\n"
        "        archive.extractall('photos')",
        "def names(path):\n with tarfile.open(path) as tar:\n  return tar.getnames()",
    ),
    "code-hash": (
        "import hashlib\ndef digest(text):\n    return hashlib.sha256(text.encode()).hexdigest()",
        "from hashlib import blake2b\ndef digest(data: bytes) -> str:\n"
        "    return blake2b(data).hexdigest()",
        "def digest(data):\n    h = hashlib.new('sha512')\n    h.update(data)\n"
        "    return h.digest()",
        "import hashlib\ndef key(data):\n"
        "    return hashlib.md5(data, usedforsecurity=False).digest()",
    ),
    "code-tls": (
        "import requests\ndef get(url):\n    return requests.get(url, timeout=10).text",
        "def send(url, data):\n return requests.post(url, json=data, verify=True).status_code",
        "import ssl, urllib.request\ndef get(url):\n"
        "    context = ssl.create_default_context()\n"
        "    return urllib.request.urlopen(url, context=context).read()",
        "import httpx\n\nasync def get(url):\n    return httpx.get(url)",
    ),
    "code-tempfile": (
        "import tempfile\ndef save(text):\n"
        "    with tempfile.NamedTemporaryFile('w', delete=False) as file:\n"
        "        file.write(text)\n    return file.name",
        "from tempfile import mkstemp\ndef new():\n    return mkstemp(suffix='.txt')",
        "def folder():\n return tempfile.mkdtemp()",
        "def save(text, path):\n    with open(path, 'w') as file:\n        file.write(text)",
    ),
    "code-token": (
        "import secrets, string\ndef token():\n"
        "    return ''.join(secrets.choice(string.ascii_letters) for _ in range(32))",
        "def pin():\n return 1000 + secrets.randbelow(9000)",
        "from secrets import token_urlsafe\ndef password():\n    return token_urlsafe(12)",
        "import os\ndef key():\n    return os.urandom(16).hex()",
    ),
}
